"""Fixtures of several test files of this directory."""

from tests.builders.tiny_runs import place, without_ray

__all__ = ["place", "without_ray"]
