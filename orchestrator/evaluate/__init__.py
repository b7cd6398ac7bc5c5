"""The evaluate command: score fine-tuned models on further ROIs, without training."""

__all__: list[str] = []
