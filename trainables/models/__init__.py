"""Backbones, readout heads, the models that are fine-tuned, and their losses."""

__all__ = [
    "backbone_facts",
    "backbones",
    "finetuned",
    "heads",
    "losses",
    "measurement",
    "pooled",
    "response_memory",
    "temperature",
    "weights",
    "weights_name",
    "widths",
]
