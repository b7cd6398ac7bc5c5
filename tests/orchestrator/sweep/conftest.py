"""Fixtures of several test files of this directory."""

from tests.builders.sweep_command import home

__all__ = ["home"]
