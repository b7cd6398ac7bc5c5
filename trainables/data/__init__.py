"""Ingested shards, image-classification tasks, and the loading of images."""

__all__ = [
    "data_directory",
    "disk_images",
    "images",
    "loading",
    "rows",
    "shards",
    "stimuli",
    "tasks",
]
