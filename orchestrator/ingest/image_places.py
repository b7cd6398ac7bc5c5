"""Where an image is: a file of its own, or a row of an HDF5 data set."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file

Pixels = NDArray[np.uint8]
"""(height, width, 3) of RGB."""


def linear_display(pixels: Pixels) -> Pixels:
    """Cut the central square out, and undo a linear display: 255 √(value / 255).

    NSD-synthetic's images are stored as its linear display took them; those of natural images are
    not. (Its authors prepare them in this way for image networks.)
    """
    height, width = pixels.shape[:2]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    square = pixels[top : top + size, left : left + size]
    found: Pixels = np.rint(np.sqrt(square / 255) * 255).astype(np.uint8)
    return found


LINEAR_DISPLAY: Final = "linear-display"
TRANSFORMS: Final[Mapping[str, Callable[[Pixels], Pixels]]] = {
    "none": lambda pixels: pixels,
    LINEAR_DISPLAY: linear_display,
}
"""What may be done to the pixels of a row before they are resized, by name."""


@dataclass(frozen=True)
class StackedImage:
    """An image that is a row of an HDF5 data set: (n_images, height, width, 3) uint8 of RGB."""

    file: Path
    dataset: str
    row: int
    """Counted from 0."""
    transform: str = "none"
    """One of TRANSFORMS."""

    @property
    def name(self) -> str:
        """Name the image without its folder: ``nsd_stimuli.hdf5:imgBrick[13]``."""
        return f"{self.file.name}:{self.dataset}[{self.row}]"

    def __str__(self) -> str:
        """Name the image with its folder."""
        return str(self.file.parent / self.name)

    def resolve(self) -> "StackedImage":
        """Return the image with the absolute path of its file."""
        return StackedImage(self.file.resolve(), self.dataset, self.row, self.transform)

    def read(self) -> Pixels:
        """Read the pixels, transformed; raise OSError, KeyError or ValueError where that fails."""
        import h5py  # only some layouts need it

        with h5py.File(self.file) as file:
            pixels: Pixels = file[self.dataset][self.row]
        return TRANSFORMS[self.transform](pixels)


ImagePlace = Path | StackedImage


def count_stacked(file: Path, dataset: str) -> int:
    """Count the images of an HDF5 data set, without reading them.

    Raises InputError unless it is (n_images, height, width, 3) uint8.
    """
    import h5py

    require_file(file, "stimuli")
    try:
        with h5py.File(file) as opened:
            if dataset not in opened:
                raise InputError(
                    f"{file}: expected a data set {dataset}, found "
                    f"{', '.join(opened) or 'none'}; download it again"
                )
            found: Any = opened[dataset]
            shape: tuple[int, ...] = getattr(found, "shape", None) or ()
            kind = getattr(found, "dtype", None)
    except OSError as error:  # of the library: no HDF5 file, or a part of one
        raise InputError(
            f"{file}: not a readable HDF5 file ({error}); download it again"
        ) from error
    if len(shape) != 4 or shape[-1] != 3 or 0 in shape or kind != np.uint8:
        raise InputError(
            f"{file}: expected {dataset} as uint8 of (images, height, width, 3), found {kind} of "
            f"{shape}; download it again"
        )
    return int(shape[0])


def digest_pixels(image: StackedImage) -> str:
    """Digest an image's pixels with SHA-256; raise as `StackedImage.read` does."""
    pixels = np.ascontiguousarray(image.read())
    return hashlib.sha256(pixels.data).hexdigest()
