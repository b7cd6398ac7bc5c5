"""Summaries, tests and intervals over vertices, images and subjects."""

__all__ = [
    "image_bootstrap",
    "image_tests",
    "noise_ceilings",
    "paired_predictions",
    "protocol_gap",
    "subject_tests",
    "summaries",
    "transfers",
    "vertex_pairs",
]
