"""The ingest command: from a data set's folders to checked shards. One package per layout."""

__all__ = [
    "algonauts",
    "arrays",
    "checked",
    "entries",
    "pixels",
    "progress",
    "run",
    "settings",
    "simulate",
    "simulated",
    "task",
]
