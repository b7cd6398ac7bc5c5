"""The analyze command: one table per analysis."""

__all__ = ["analysis", "catalogue", "questions", "run"]
