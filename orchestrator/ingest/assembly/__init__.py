"""An ingested subject as a NeuroidAssembly, brain-score's form of responses."""

__all__ = ["command", "write"]
