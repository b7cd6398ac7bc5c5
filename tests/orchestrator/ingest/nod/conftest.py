"""Fixtures of several test files of this directory."""

from tests.builders.nod_ingest import folder, source

__all__ = ["folder", "source"]
