"""The files of weights, one or an index and its shards, and their name: a hash of their content."""

import hashlib
from pathlib import Path
from typing import Any, Final

from trainables.spec.backbone import SHA256
from trainables.spec.records import parse_json, read_bounded
from trainables.storage.unchanged import hash_unchanged

INDEX: Final = ".index.json"
"""End of the name of a file that lists the shards of large weights."""
MAX_INDEX: Final = 64 * 2**20
"""The largest index, in bytes."""


def weights_name(path: Path) -> str:
    """Name weights by their content: ``sha256:`` and 16 hex digits; of shards, of all their files.

    Raises ValueError if an index is damaged, or if a shard is missing.
    """
    hashes = [hash_unchanged(one) for one in files_of(path)]
    whole = (
        hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    )
    return SHA256 + whole[:16]


def files_of(path: Path) -> list[Path]:
    """Return the files of weights: the file itself, and after an index its shards.

    Raises ValueError if an index is damaged, or if a shard is missing.
    """
    if not path.name.endswith(INDEX):
        return [path]
    shards = [path.with_name(name) for name in dict.fromkeys(read_index(path).values())]
    missing = [one.name for one in shards if not one.is_file()]
    if missing:
        raise ValueError(
            f"{path}: names {len(shards)} files of weights, of which {len(missing)} are not in its "
            f"directory, such as {missing[0]}; put them there, or give --weights one whole file"
        )
    return [path, *shards]


def read_index(path: Path) -> dict[str, str]:
    """Read the file of each weight from an index of shards; raise ValueError if it is damaged."""
    try:
        content: Any = parse_json(read_bounded(path, MAX_INDEX))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable index of weights ({error}); {_CURE}") from error
    found = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(found, dict) or not found:
        raise ValueError(f"{path}: expected an entry weight_map with files by weight; {_CURE}")
    for name, file in found.items():
        if not isinstance(file, str) or file != Path(file).name or file.endswith(INDEX):
            raise ValueError(
                f"{path}: weight_map: {name!r}: expected a file of the same directory, found "
                f"{file!r}; {_CURE}"
            )
    return found


_CURE: Final = "download it again, or give --weights one whole file"
