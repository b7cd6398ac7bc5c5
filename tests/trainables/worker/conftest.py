"""Fixtures of several test files of this directory."""

from tests.builders.transfer_lab import lab, narrow_without_ray, quick

__all__ = ["lab", "narrow_without_ray", "quick"]
