"""Backbones, readout heads, the models that are fine-tuned, and their losses."""

__all__ = [
    "backbone_facts",
    "backbones",
    "finetuned",
    "heads",
    "losses",
    "measurement",
    "pooled",
    "weights",
    "weights_name",
    "widths",
]
