"""Reader of the Natural Object Dataset (OpenNeuro ds004496): CIFTI, events and an atlas."""

__all__ = ["atlas", "cifti", "command", "files", "inspection"]
