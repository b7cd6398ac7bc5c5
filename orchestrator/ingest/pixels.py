"""Read image files of any kind as 8-bit RGB, or say why one can't be read without a guess.

Pixels are taken as they are stored: an EXIF orientation is not applied, as by torchvision's
loaders and by the programs that show stimuli. 16-bit values are scaled (v >> 8), never clipped.
Transparent parts are shown on white.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from orchestrator.ingest.entries import obstacle
from orchestrator.ingest.image_places import ImagePlace, StackedImage, digest_pixels
from trainables.spec.interpolation import BILINEAR, Interpolation

MAX_PIXELS: Final = 89_478_485
"""Above this, Pillow warns of images that are made to fill the memory."""
MAX_RATIO: Final = 100
"""Of the longer side to the shorter: resizing by the shorter makes such an image huge."""
ORIENTATION: Final = 0x0112
"""The EXIF tag of an image's orientation; 1 is upright."""
PHOTOMETRIC: Final = 262
"""The TIFF tag that says what its values mean."""
WHITE_IS_ZERO: Final = 0
_EIGHT_BITS: Final = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"})
_WITH_ALPHA: Final = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_SIXTEEN_BITS: Final = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_SCALED_FORMATS: Final = frozenset({"PNG", "PPM"})
"""Whose 32-bit integers, as Pillow reads them, are 16-bit values by the format's definition."""
_DRAFTED: Final = frozenset({"JPEG", "MPO"})

_RESAMPLING: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}

SCALED: Final = "16-bit values were scaled to 8 bits (v >> 8)"
ON_WHITE: Final = "transparent parts were set on white"
NOT_TURNED: Final = "an EXIF orientation was not applied: the pixels are taken as they are stored"


@dataclass(frozen=True)
class Examined:
    """What is known of an image file after it was checked."""

    problem: str | None = None
    """``PATH: what is wrong; cure``."""
    content: str = ""
    """SHA-256 of the file, or of the pixels of an image that has no file of its own."""
    remark: str | None = None
    """What was done to its pixels, where that is not obvious."""


class UnfitImageError(ValueError):
    """An image that can be opened, but not be read as one picture of 8 bits: reason; cure."""


def examine(path: ImagePlace) -> Examined:
    """Check a file's structure, checksums and kind; decode it where it has no checksums."""
    if isinstance(path, StackedImage):
        return _examine_stacked(path)
    if found := obstacle(path):
        reason = found[0].rpartition(": ")[2]
        return Examined(f"{path}: not a readable image ({reason}); {found[1]}")
    try:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        with Image.open(path) as image:
            return Examined(content=content, remark=_check(image))
    except Exception as error:  # damaged images raise OSError, SyntaxError, struct.error …
        return Examined(unreadable(path, error))


def _examine_stacked(image: StackedImage) -> Examined:
    try:
        return Examined(content=digest_pixels(image))
    except Exception as error:  # of the HDF5 library, whose filters raise nearly anything
        return Examined(unreadable(image, error))


def unreadable(path: ImagePlace | str, error: Exception) -> str:
    """Format the error of an image that can't be read."""
    if isinstance(error, UnfitImageError):
        return f"{path}: {error}"
    reason = str(error).replace(f" {str(path)!r}", "") or type(error).__name__
    return f"{path}: not a readable image ({reason}); download it again"


def read_rgb(path: ImagePlace) -> Image.Image:
    """Read an image as 8-bit RGB; raise UnfitImageError where that needs a guess."""
    if isinstance(path, StackedImage):
        return Image.fromarray(path.read())
    with Image.open(path) as image:
        refuse_unfit(image)
        return to_rgb(image)


def resized(
    rgb: Image.Image, size: int, interpolation: Interpolation = BILINEAR
) -> NDArray[np.uint8]:
    """Resize an RGB image without a crop, with antialiasing: (3, size, size)."""
    return channels_first(rgb.resize((size, size), _RESAMPLING[interpolation]))


def channels_first(rgb: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an RGB image as (3, height, width)."""
    pixels: NDArray[Any] = np.asarray(rgb, dtype=np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _check(image: Image.Image) -> str | None:
    """Check an open image; return the remark on it."""
    refuse_unfit(image)
    if image.mode in _EIGHT_BITS and not image.has_transparency_data:
        has_exif = "exif" in image.info
        if image.format in _DRAFTED:  # no checksums: only decoding finds that it was cut
            image.draft("RGB", (1, 1))
            image.load()
        elif image.format == "PNG" and not has_exif:
            image.verify()
        else:
            to_rgb(image)
        return NOT_TURNED if has_exif and image.getexif().get(ORIENTATION, 1) != 1 else None
    to_rgb(image)
    if image.mode not in _WITH_ALPHA | _EIGHT_BITS:
        return SCALED
    return ON_WHITE if _alpha(image).min() < 255 else None


def refuse_unfit(image: Image.Image) -> None:
    """Raise UnfitImageError for an open image that is too large, several, or of no fixed scale."""
    wide, high = image.size
    if wide * high > MAX_PIXELS or max(wide, high) > MAX_RATIO * min(wide, high):
        raise UnfitImageError(
            f"{wide:,} x {high:,} pixels; expected at most {MAX_PIXELS:,}, and sides within 1 to "
            f"{MAX_RATIO}; save it smaller, or remove it"
        )
    n_frames = getattr(image, "n_frames", 1)
    if n_frames > 1 and image.format not in _DRAFTED:  # MPO holds views of the first one
        raise UnfitImageError(
            f"{n_frames} frames or pages; expected one picture; save the one that is meant"
        )
    is_scaled = image.mode in _SIXTEEN_BITS or (
        image.mode == "I" and image.format in _SCALED_FORMATS
    )
    if is_scaled and image.format == "TIFF" and _tag(image, PHOTOMETRIC) == WHITE_IS_ZERO:
        raise UnfitImageError(
            "16-bit pixels of which 0 is white, which Pillow takes for black; save it with 0 for "
            "black, or as an 8-bit image"
        )
    if not (is_scaled or image.mode in _EIGHT_BITS or image.mode in _WITH_ALPHA):
        raise UnfitImageError(
            f"pixels of mode {image.mode}, whose scale is not fixed; expected 8 or 16 bits a "
            "channel; save it as an 8-bit image"
        )


def _tag(image: Image.Image, tag: int) -> object:
    return getattr(image, "tag_v2", {}).get(tag)


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image that is fit to 8-bit RGB; raise UnfitImageError for unscaled values."""
    if image.mode in _SIXTEEN_BITS or image.mode == "I":
        return Image.fromarray(_scale(np.asarray(image))).convert("RGB")
    if not image.has_transparency_data or _alpha(image).min() == 255:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _alpha(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.convert("RGBA").getchannel("A"))


def _scale(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale 16-bit values to 8 bits, as Pillow does it with 16-bit colours."""
    highest = int(values.max())
    if 0 < highest < 256:
        raise UnfitImageError(
            f"16-bit pixels of at most {highest}, which scaled to 8 bits are all black; save it "
            "as an 8-bit image"
        )
    return (values >> 8).astype(np.uint8)
