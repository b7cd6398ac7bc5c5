"""Fixtures of several test files of this directory."""

from tests.builders.evaluated_sweep import done, home

__all__ = ["done", "home"]
