"""Fixtures of several test files of this directory."""

from tests.builders.tiny_finetuning import one_thread

__all__ = ["one_thread"]
