"""The evaluate command: score models on further ROIs or images, without training."""

__all__: list[str] = ["ood"]
