"""A search for hyperparameters: its rounds, its schedulers, and the files that it ends in."""

__all__ = ["run"]
