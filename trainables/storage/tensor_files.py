"""Tensors in safetensors files, written atomically, with a full disk reported as such."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from trainables.storage.atomic import atomic_write
from trainables.storage.disk_space import FULL, check_room, full

_NUMBER: Final = re.compile(r"\(os error (\d+)\)")
"""Safetensors reports errors of the file system by their text only, which holds their number."""


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file atomically.

    Raises DiskFull, which says how much is missing, or OSError.
    """
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    needed = sum(value.nbytes for value in whole.values())
    with atomic_write(path) as beside:
        check_room(path.parent, needed)
        try:
            save_file(whole, beside, metadata=None if metadata is None else dict(metadata))
        except SafetensorError as error:
            found = _NUMBER.search(str(error))
            number = int(found[1]) if found else 0
            if number in FULL:
                raise full(path.parent, needed, number) from error
            raise OSError(f"{path}: {error}") from error
