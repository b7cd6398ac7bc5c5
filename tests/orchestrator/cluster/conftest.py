"""Fixtures of several test files of this directory."""

from tests.builders.queue_scenario import short_polls

__all__ = ["short_polls"]
