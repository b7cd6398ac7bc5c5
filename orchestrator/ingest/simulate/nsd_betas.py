"""Write betas on fsaverage as NSD has them: MGH files of big-endian float32, trial after trial."""

import struct
from pathlib import Path
from typing import Any, Final

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

HEADER_BYTES: Final = 284
FLOAT: Final = 3


def write_betas(path: Path, betas: Array) -> None:
    """Write betas, (n_trials, n_vertices), as an MGH file of (n_vertices, 1, 1, n_trials)."""
    n_trials, n_vertices = betas.shape
    header = struct.pack(">6i", 1, n_vertices, 1, 1, n_trials, FLOAT)
    with path.open("wb") as stream:
        stream.write(header.ljust(HEADER_BYTES, b"\0"))
        stream.write(betas.astype(">f4").tobytes())
