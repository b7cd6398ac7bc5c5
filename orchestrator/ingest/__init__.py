"""The ingest command: from a data set's folders to checked shards. One package per layout."""

__all__ = ["run", "settings", "simulate", "task"]
