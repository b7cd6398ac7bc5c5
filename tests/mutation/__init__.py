"""Runs the planted faults of `make mutation`, which mutmut generates."""
