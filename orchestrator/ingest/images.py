"""Check images, then decode and resize them, in parallel, as small batches in row order."""

import os
import pickle
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import printable
from orchestrator.ingest.image_places import ImagePlace
from orchestrator.ingest.pixels import (
    Examined,
    channels_first,
    examine,
    read_rgb,
    resized,
    unreadable,
)
from orchestrator.ingest.writer import Batch
from trainables.data.ray_data import import_ray_data
from trainables.wording import some

if TYPE_CHECKING:
    from ray.data import Dataset

Fit = Callable[[Image.Image, int], NDArray[np.uint8]]
"""Makes (3, size, size) of an RGB image."""

SHORTER_SIDE: Final = 256 / 224
"""What an image's shorter side is resized to before its centre is cut out, in sizes of the crop."""
IMAGES_PER_TASK: Final = 128
IMAGES_PER_BATCH: Final = 64


def check_images(images: Sequence[ImagePlace], looked: Callable[[int], None]) -> list[Examined]:
    """Verify each image's structure, checksums and kind, in the order of images.

    looked: called with the number of images checked since its last call. Raises InputError naming
    those that fail.
    """
    found = []
    with (
        warnings.catch_warnings(action="ignore"),  # Pillow's: what matters is a complaint
        ThreadPoolExecutor(os.cpu_count()) as pool,  # checksums run outside Python's lock
    ):
        for examined in pool.map(examine, images, chunksize=1):
            looked(1)
            found.append(examined)
    lines = [examined.problem for examined in found if examined.problem]
    if lines:
        raise InputError(*lines)
    return found


def remarks(images: Sequence[ImagePlace], found: Sequence[Examined]) -> list[str]:
    """Describe the conversions of pixels: one line per kind, with examples and their number."""
    kinds: dict[str, list[ImagePlace]] = {}
    for path, examined in zip(images, found, strict=True):
        if examined.remark:
            kinds.setdefault(examined.remark, []).append(path)
    return [f"of {printable(some(paths))}: {remark}" for remark, paths in kinds.items()]


def stream_images(
    images: Sequence[ImagePlace], sizes: Sequence[int], fit: Fit = resized
) -> Iterator[Batch]:
    """Yield (row of the first, images as channels-first bytes at each size) for batch after batch.

    Each image is read once, and made 3 x size x size uint8 by fit. Needs a connected Ray, whose
    workers can read the files; a few batches are in memory at a time. Raises InputError naming an
    image that can't be decoded.
    """
    batches: Iterable[pa.Table] = _decoded(images, sizes, fit).iter_batches(
        batch_size=IMAGES_PER_BATCH, batch_format="pyarrow", prefetch_batches=1
    )
    for batch in batches:
        for problem in batch["problem"].drop_null().to_pylist():
            raise InputError(problem)
        yield batch["row"][0].as_py(), *(batch[str(size)].combine_chunks() for size in sizes)


def _decoded(images: Sequence[ImagePlace], sizes: Sequence[int], fit: Fit) -> "Dataset":
    ray_data = import_ray_data()  # which decoding alone does not need
    context = ray_data.DataContext.get_current().copy()
    context.execution_options.preserve_order = True  # rows belong to rows of the responses
    with ray_data.DataContext.current(context):
        # As bytes: a file's name need not be UTF-8.
        places = [pickle.dumps(image.resolve()) for image in images]
        items = [{"row": row, "place": place} for row, place in enumerate(places)]
        blocks = -(-len(items) // IMAGES_PER_TASK)
        rows: Dataset = ray_data.from_items(items, override_num_blocks=blocks)
        return rows.map_batches(
            partial(_decode_batch, sizes=sizes, fit=fit),
            batch_size=None,
            batch_format="pyarrow",
        )


def _decode_batch(batch: pa.Table, sizes: Sequence[int], fit: Fit) -> pa.Table:
    """Decode one task's images; a broken one is a problem in its row, not a failed task."""
    decoded = [_try_to_decode(place, sizes, fit) for place in batch["place"].to_pylist()]
    images = {
        str(size): pa.array([at_sizes[k] for at_sizes, _ in decoded], pa.binary(3 * size * size))
        for k, size in enumerate(sizes)
    }
    problem = pa.array([problem for _, problem in decoded], pa.string())
    return pa.table({"row": batch["row"], **images, "problem": problem})


def _try_to_decode(place: bytes, sizes: Sequence[int], fit: Fit) -> tuple[list[bytes], str | None]:
    image: ImagePlace = pickle.loads(place)
    try:
        rgb = read_rgb(image)
        return [fit(rgb, size).tobytes() for size in sizes], None
    except Exception as error:  # damaged images raise OSError, SyntaxError, struct.error …
        black = [bytes(3 * size * size) for size in sizes]
        return black, printable(unreadable(image, error))


def decode_image(path: ImagePlace, size: int) -> NDArray[np.uint8]:
    """Read an image as (3, size, size): resized without a crop, bilinear with antialiasing."""
    return resized(read_rgb(path), size)


def decode_cropped(path: ImagePlace, size: int) -> NDArray[np.uint8]:
    """Read an image as (3, size, size): its shorter side to 256/224 of size, then the centre."""
    return cropped(read_rgb(path), size)


def cropped(rgb: Image.Image, size: int) -> NDArray[np.uint8]:
    """Resize the shorter side of an RGB image to 256/224 of size, and cut the centre out.

    As torchvision's Resize(256) and CenterCrop(224) do it, bilinear with antialiasing. Returns
    (3, size, size).
    """
    shorter = round(size * SHORTER_SIDE)
    width, height = rgb.size
    if width <= height:
        wide, high = shorter, int(shorter * height / width)
    else:
        wide, high = int(shorter * width / height), shorter
    left, top = round((wide - size) / 2.0), round((high - size) / 2.0)
    larger = rgb.resize((wide, high), Image.Resampling.BILINEAR)
    return channels_first(larger.crop((left, top, left + size, top + size)))
