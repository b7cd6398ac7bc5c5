"""The analyze command: one table per analysis."""
