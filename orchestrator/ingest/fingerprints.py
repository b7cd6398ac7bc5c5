"""Identify the files of a source, so that an ingest notices that one was changed."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from orchestrator.ingest.entries import is_image
from trainables.storage.atomic import hash_file

BLOCK_BYTES: Final = 4096
FILE_BLOCKS: Final = 1024
"""Blocks that are read of a large file, spread over it; smaller files are read as a whole."""
IMAGE_BLOCKS: Final = 4
"""The same of an image, of which there are many."""


def fingerprint(path: Path) -> str:
    """Identify a file by its content, a large one by its size and by blocks spread over it."""
    if not path.is_file():
        return "absent"
    size = path.stat().st_size
    n_blocks = IMAGE_BLOCKS if is_image(path) else FILE_BLOCKS
    if size <= n_blocks * BLOCK_BYTES:
        return hash_file(path)
    found = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        for block in range(n_blocks):
            stream.seek((size - BLOCK_BYTES) * block // (n_blocks - 1))
            found.update(stream.read(BLOCK_BYTES))
    return f"{size} {found.hexdigest()}"


def digest_files(named: Mapping[str, Path], *more: str) -> str:
    """Digest files by name and fingerprint; more: lines on what else makes a source another one."""
    lines = [f"{name}\t{fingerprint(path)}\n" for name, path in sorted(named.items())]
    text = "".join([*lines, *(f"{line}\n" for line in more)])
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
