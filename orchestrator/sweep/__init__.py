"""The sweep command: run a search space, or a hyperparameter search."""

__all__ = ["run", "settings"]
