"""Exported models on images outside the distribution of NSD's photographs: NSD-synthetic."""

__all__ = ["model_scores", "run", "summaries", "synthetic_subjects", "tables"]
