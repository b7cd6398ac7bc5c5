"""Reader of NSD-synthetic: 284 artificial images that the subjects of NSD saw in a last session."""

__all__ = ["command", "files"]
