"""The evaluate command: score fine-tuned models on further ROIs, without any training."""

__all__: list[str] = []
