"""Backbones, readout heads, the models that are fine-tuned, and their losses."""

__all__ = ["backbones", "finetuned", "heads", "losses", "pooled", "weights"]
