"""Hyperparameter search: rounds, schedulers, and the files of results."""

__all__ = ["run"]
