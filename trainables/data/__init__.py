"""Ingested shards, image-classification tasks, and the loading of images."""
