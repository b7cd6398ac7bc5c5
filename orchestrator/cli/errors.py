"""Errors in input that the user can correct."""

from trainables.exceptions import Failure


class InputError(ValueError):
    """Invalid input that the user can correct: one line per problem, with its path and cure."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def full_disk(failure: Failure) -> InputError:
    """Make the error of a run that ends at the first trial which found the disk full."""
    last = failure.message.strip().splitlines()[-1]
    return InputError(
        f"stopped, as every other trial would fail too: {last.rpartition('Full: ')[2]}"
    )
