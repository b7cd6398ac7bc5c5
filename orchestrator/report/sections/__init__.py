"""Sections of the report, one per file: from an analysis' table to a sentence and figures."""

__all__ = ["catalogue", "cortex", "section", "surface"]
