"""Summaries, tests and intervals over vertices, images and subjects."""

__all__ = [
    "held_out_responses",
    "hemispheres",
    "hierarchical_interval",
    "image_jackknife",
    "image_tests",
    "measured_differences",
    "model_differences",
    "noise_ceilings",
    "pair_interval",
    "paired_predictions",
    "protocol_gap",
    "roi_differences",
    "seed_spread",
    "share_differences",
    "share_jackknife",
    "subject_tests",
    "summaries",
    "transfer_means",
    "transfers",
    "vertex_pairs",
]
