"""Backbones, readout heads, the models that are fine-tuned, and their losses."""

__all__ = [
    "adapters",
    "backbone_facts",
    "backbones",
    "call_order",
    "finetuned",
    "heads",
    "layer_list",
    "layers",
    "losses",
    "measurement",
    "normalisation",
    "pass_times",
    "pooled",
    "response_memory",
    "temperature",
    "timm_networks",
    "tuning",
    "weights",
    "weights_name",
    "widths",
]
