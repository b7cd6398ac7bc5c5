"""Names of temporary files whose processes run, have ended, or are of another machine."""

import os

from trainables.storage.processes import born, this_owner


def owned_by(name: str, owner: str, number: int = 3) -> str:
    """Name a temporary file of an owner."""
    return f".{name}.partial-{owner}-{number}"


def leftovers(name: str) -> tuple[list[str], list[str]]:
    """Return temporary names that are owned, and names that nobody owns."""
    here, pid, start = this_owner().split("-")
    parent = f"{here}-{os.getppid()}-{born(os.getppid())}"
    living = [
        owned_by(name, this_owner()),
        owned_by(name, parent),
        owned_by(name, "f" * 12 + "-1-1"),
    ]
    dead = [
        owned_by(name, f"{here}-{2**22 + 1}-77"),
        owned_by(name, f"{here}-{pid}-{int(start) + 1}"),  # another process got its id
        f"{owned_by(name, f'{here}-{2**22 + 1}-77')}.4aCD5dBa",  # of boto3
    ]
    return living, dead
