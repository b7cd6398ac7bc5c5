"""Fixtures of tests of several commands."""

from tests.builders.predicted_sweep import predicted_sweep
from tests.builders.uneven_sweep import uneven

__all__ = ["predicted_sweep", "uneven"]
