"""Summaries, tests and intervals."""
