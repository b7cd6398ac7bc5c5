"""The demonstration: every command on simulated data, in one process."""

__all__: list[str] = []
