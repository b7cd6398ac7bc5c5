"""Exported models on images outside the distribution of NSD's photographs: NSD-synthetic."""

__all__ = [
    "image_groups",
    "model_scores",
    "predictions",
    "refitted_readout",
    "run",
    "synthetic_subjects",
    "tables",
]
