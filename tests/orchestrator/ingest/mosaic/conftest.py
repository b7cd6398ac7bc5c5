"""Fixtures of several test files of this directory."""

from tests.builders.mosaic_folder import folder, source

__all__ = ["folder", "source"]
