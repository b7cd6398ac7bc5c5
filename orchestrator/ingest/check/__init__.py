"""Check a source without writing anything: what would be ingested, and every problem."""

__all__ = ["command", "run"]
