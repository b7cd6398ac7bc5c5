"""The name of a file of weights: a hash of its content."""

from pathlib import Path

from trainables.spec.backbone import SHA256
from trainables.storage.atomic import hash_file


def weights_name(path: Path) -> str:
    """Name a weights file by its content: ``sha256:`` and 16 hex digits."""
    return SHA256 + hash_file(path)[:16]
