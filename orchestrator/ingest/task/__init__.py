"""Image-classification tasks."""
