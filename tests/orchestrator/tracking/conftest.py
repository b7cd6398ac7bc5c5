"""Fixtures of several test files of this directory."""

from tests.builders.mirrored_runs import store, sweep

__all__ = ["store", "sweep"]
