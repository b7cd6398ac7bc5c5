"""The ingest command: from a data set's folders to checked shards. One package per layout."""

__all__ = ["entries", "pixels", "run", "settings", "simulate", "task"]
