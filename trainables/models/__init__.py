"""Backbones, readout heads, the models that are fine-tuned, and their losses."""

__all__ = [
    "backbone_facts",
    "backbones",
    "finetuned",
    "heads",
    "layers",
    "losses",
    "measurement",
    "normalisation",
    "pooled",
    "response_memory",
    "temperature",
    "timm_networks",
    "weights",
    "weights_name",
    "widths",
]
