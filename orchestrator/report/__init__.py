"""The report command: one self-contained page about a sweep."""

__all__: list[str] = []
