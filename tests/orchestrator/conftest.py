"""Fixtures of tests of several commands."""

from tests.builders.paired_sweep import paired_sweep
from tests.builders.predicted_sweep import predicted_sweep
from tests.builders.uneven_sweep import uneven

__all__ = ["paired_sweep", "predicted_sweep", "uneven"]
