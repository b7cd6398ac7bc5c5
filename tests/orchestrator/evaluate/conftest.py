"""Fixtures of several test files of this directory."""

from tests.builders.evaluated_sweep import done, home
from tests.builders.synthetic_shards import synthetic

__all__ = ["done", "home", "synthetic"]
