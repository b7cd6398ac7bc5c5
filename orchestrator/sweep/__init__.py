"""The sweep command: run a search space, or a search for hyperparameters."""

__all__: list[str] = []
