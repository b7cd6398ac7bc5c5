"""The name of a file of weights: a hash of its content."""

from pathlib import Path
from typing import Final

from trainables.storage.atomic import hash_file

SHA256: Final = "sha256:"


def weights_name(path: Path) -> str:
    """Name a weights file by its content: ``sha256:`` and 16 hex digits."""
    return SHA256 + hash_file(path)[:16]
