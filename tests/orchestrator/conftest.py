"""Fixtures of tests of several commands."""

from tests.builders.uneven_sweep import uneven

__all__ = ["uneven"]
