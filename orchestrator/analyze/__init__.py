"""The analyze command: one table per question."""
