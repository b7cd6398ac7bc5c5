"""Ingested subjects, image-classification tasks, and image loading."""

__all__ = [
    "data_directory",
    "disk_images",
    "images",
    "loading",
    "ray_data",
    "row_columns",
    "rows",
    "shards",
    "stimuli",
    "tasks",
    "trials",
    "verification",
    "vertex_columns",
]
