"""Read chosen voxels of betas in NIfTI files, of int16 and (X, Y, Z, trials), usually compressed.

A compressed file can only be read from its beginning to its end: once for each session, a trial's
volume at a time.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nsd.volumes import Shape, open_nifti

_SIZE_BYTES: Final = 4
"""The last bytes of a gzip file: its size before compression, modulo 2^32."""


def check_nifti_betas(path: Path, shape: Shape, n_trials: int | None) -> None:
    """Check the header and the size of a session's betas, without reading them.

    shape: X, Y, Z. n_trials: None for any number. Raises InputError for other shapes or types, or
    a truncated file.
    """
    image = open_nifti(path, "betas")
    expected_shape = (*shape, n_trials or image.shape[-1])
    if image.shape != expected_shape:
        same = sorted(image.shape) == sorted(expected_shape)
        reason = "the axes are in another order" if same else "of another subject, space or design"
        raise InputError(
            f"{path}: expected betas of (X, Y, Z, trials) = {expected_shape}, found {image.shape}: "
            f"{reason}; download it again"
        )
    kind = image.get_data_dtype()
    proxy: Any = image.dataobj
    slope, intercept = proxy.slope, proxy.inter
    if kind.kind != "i" or kind.itemsize != 2 or (slope, intercept) != (1, 0):
        raise InputError(
            f"{path}: expected betas of int16, 300 for one per cent, found {kind} of slope {slope} "
            f"and intercept {intercept}; give the files as NSD has them"
        )
    expected = proxy.offset + 2 * int(np.prod(image.shape))
    if _unpacked_size(path, expected) != expected % 2**32:
        raise InputError(
            f"{path}: not as long as its header says, {expected:,} bytes before compression; "
            "download it again"
        )


def _unpacked_size(path: Path, expected: int) -> int:
    """Return a file's size before compression, modulo 2^32."""
    if path.suffix != ".gz":
        return min(path.stat().st_size, expected) % 2**32
    with path.open("rb") as stream:
        stream.seek(-_SIZE_BYTES, 2)
        return int.from_bytes(stream.read(_SIZE_BYTES), "little")


def stream_trials(path: Path, places: NDArray[np.integer[Any]]) -> Iterator[NDArray[np.int16]]:
    """Yield the stored betas of chosen places, (n_places,), trial by trial.

    One trial's volume is in memory at a time. Raises InputError for a truncated or damaged file.
    """
    image = open_nifti(path, "betas")
    proxy: Any = image.dataobj
    kind, offset = image.get_data_dtype(), int(proxy.offset)
    n_bytes = 2 * int(np.prod(image.shape[:3]))
    try:
        with _open(path) as stream:
            stream.seek(offset)
            for _ in range(image.shape[3]):
                volume = stream.read(n_bytes)
                if len(volume) < n_bytes:
                    raise EOFError("it ends too early")
                yield np.frombuffer(volume, kind)[places].astype(np.int16)
            while stream.read(n_bytes):  # to the end, where gzip compares its checksum
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: its betas can't be read ({error}); download it again") from error


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else path.open("rb"))
