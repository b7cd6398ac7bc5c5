"""The report command: one self-contained page."""
