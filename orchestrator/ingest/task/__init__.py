"""Image-classification tasks: ImageFolder, and data sets of torchvision."""

__all__ = ["command", "run"]
