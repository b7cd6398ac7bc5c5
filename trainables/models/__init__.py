"""Backbones, readout heads, the models that are fine-tuned, and their losses."""

__all__ = [
    "adapters",
    "backbone_facts",
    "backbones",
    "call_order",
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
    "tuning",
    "weights",
    "weights_name",
    "widths",
]
