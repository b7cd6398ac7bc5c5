"""Errors in input that the user can correct."""


class InputError(ValueError):
    """Invalid input that the user can correct: one line per problem, with its path and cure."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
