"""The analyze command: one table per analysis."""

__all__ = ["analysis", "catalogue", "model_groups", "questions", "run"]
