"""The sweep command: run a search space."""
