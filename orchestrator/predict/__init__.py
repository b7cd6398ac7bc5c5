"""The predict command: responses of exported models to any number of images."""

__all__ = ["sources"]
