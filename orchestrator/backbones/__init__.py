"""The backbones command: which image networks there are, their layers and their cost."""

__all__: list[str] = []
