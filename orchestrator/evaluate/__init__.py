"""The evaluate command: score fine-tuned models on further ROIs."""
