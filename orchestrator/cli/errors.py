"""Input that a user can correct."""


class InputError(ValueError):
    """Input that a user can mend: one line a complaint, each with its path and its cure."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
