"""The export command: the encoding models of a sweep as files."""

__all__: list[str] = []
