"""Measurements on one backbone: one file per kind of probe, one result file per backbone."""

__all__ = ["kinds", "probe", "prober", "saliency_fields"]
