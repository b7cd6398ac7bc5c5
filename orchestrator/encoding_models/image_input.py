"""Convert images of several kinds to the pixels that a backbone takes."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from orchestrator.ingest.pixels import UnfitImageError, read_rgb, refuse_unfit, resized, to_rgb
from orchestrator.ingest.pixels import unreadable as describe_unreadable
from trainables.spec.interpolation import Resizing

OneImage = Image.Image | str | Path
Images = OneImage | Sequence[OneImage] | np.ndarray[Any, Any] | Tensor
"""A PIL image, a path, a list of these, or an array or tensor (n, 3, height, width)."""

_EXPECTED: Final = "expected images (n, 3, height, width) of integers from 0 to 255"


def as_pixels(images: Images, resizing: Resizing) -> Tensor:
    """Convert images to (n, 3, size, size) uint8 on the CPU; those of another size are resized.

    Raises ValueError naming an image that can't be read, or the array's wrong shape or values.
    """
    if isinstance(images, Tensor):
        images = images.detach().cpu().numpy()
    if isinstance(images, np.ndarray):
        return _of_array(images, resizing)
    each = [images] if isinstance(images, OneImage) else list(images)
    if not each:
        raise ValueError("no images; give at least one")
    pixels = [_of_one(image, f"image {number}", resizing) for number, image in enumerate(each)]
    return torch.from_numpy(np.stack(pixels))


def _of_one(image: object, name: str, resizing: Resizing) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    if isinstance(image, str | Path):
        return read_pixels(Path(image), resizing)
    if not isinstance(image, Image.Image):
        raise ValueError(
            f"{name}: expected a PIL image or a path, found {type(image).__name__}; give arrays as "
            "one array (n, 3, height, width)"
        )
    if 0 in image.size:
        raise ValueError(f"{name}: {image.size[0]} x {image.size[1]} pixels; expected at least one")
    try:
        refuse_unfit(image)
        return resized(to_rgb(image), *resizing)
    except UnfitImageError as error:
        raise ValueError(f"{name}: {error}") from error


def read_pixels(path: Path, resizing: Resizing) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Read an image file as (3, size, size), as an ingest does; raise ValueError naming it."""
    try:
        return resized(read_rgb(path), *resizing)
    except Exception as error:  # damaged images raise OSError, SyntaxError, struct.error …
        raise ValueError(describe_unreadable(path, error)) from error


def _of_array(images: "np.ndarray[Any, Any]", resizing: Resizing) -> Tensor:
    if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(f"{_EXPECTED}, found an array of shape {images.shape}")
    if not np.issubdtype(images.dtype, np.integer):
        nan = np.issubdtype(images.dtype, np.floating) and bool(np.isnan(images).any())
        raise ValueError(
            f"{_EXPECTED}, found {images.dtype}{' with NaN' if nan else ''}; convert them to uint8"
        )
    if images.dtype != np.uint8 and (images.min() < 0 or images.max() > 255):
        raise ValueError(f"{_EXPECTED}, found {images.min()} to {images.max()}")
    pixels = np.ascontiguousarray(images, dtype=np.uint8)
    if pixels.shape[2:] == (resizing.size, resizing.size):
        return torch.from_numpy(pixels)
    return torch.from_numpy(np.stack(list(_resized(pixels, resizing))))


def _resized(pixels: "np.ndarray[Any, np.dtype[np.uint8]]", resizing: Resizing) -> Iterable[Any]:
    return (resized(Image.fromarray(one.transpose(1, 2, 0)), *resizing) for one in pixels)
