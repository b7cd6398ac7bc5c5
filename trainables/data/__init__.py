"""Ingested subjects, image-classification tasks, and image loading."""

__all__ = [
    "data_directory",
    "disk_images",
    "images",
    "loading",
    "rows",
    "shards",
    "stimuli",
    "tasks",
    "verification",
]
