"""Check images, then decode and resize them, in parallel, as small batches in row order."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from orchestrator.command import InputError

if TYPE_CHECKING:
    from ray.data import Dataset

IMAGES_PER_TASK: Final = 128
IMAGES_PER_BATCH: Final = 64


def check_images(images: Sequence[Path], looked: Callable[[int], None]) -> None:
    """Verify each image file's structure and checksums; raise InputError naming those that fail.

    looked: told how many images were looked at since the last call.
    """
    lines = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # checksums run outside Python's lock
        for problem in pool.map(_image_problem, images, chunksize=1):
            looked(1)
            if problem:
                lines.append(problem)
    if lines:
        raise InputError(*lines)


def _image_problem(path: Path) -> str | None:
    try:
        with Image.open(path) as image:
            if image.format == "JPEG":  # has no checksums: only decoding finds that it was cut
                image.draft("RGB", (1, 1))
                image.load()
            else:
                image.verify()
    except Exception as error:  # damaged images raise OSError, SyntaxError, struct.error …
        return unreadable(path, error)
    return None


def unreadable(path: Path | str, error: Exception) -> str:
    """Word the complaint about an image that can't be read."""
    reason = str(error).replace(f" {str(path)!r}", "") or type(error).__name__
    return f"{path}: not a readable image ({reason}); download it again"


def stream_images(paths: Sequence[Path], size: int) -> Iterator[tuple[int, pa.Array]]:
    """Yield (row of the first, images as channels-first bytes) for batch after batch.

    Each image is 3 x size x size uint8. Needs a connected Ray, whose workers can read the paths;
    a few batches are in memory at a time. Raises InputError naming an image that can't be decoded.
    """
    batches: Iterable[pa.Table] = _decoded(paths, size).iter_batches(
        batch_size=IMAGES_PER_BATCH, batch_format="pyarrow", prefetch_batches=1
    )
    for batch in batches:
        for problem in batch["problem"].drop_null().to_pylist():
            raise InputError(problem)
        yield batch["row"][0].as_py(), batch["image"].combine_chunks()


def _decoded(paths: Sequence[Path], size: int) -> "Dataset":
    import ray.data  # seconds to import, and decoding alone does not need it
    from ray.data import DataContext

    context = DataContext.get_current().copy()
    context.execution_options.preserve_order = True  # rows belong to rows of the responses
    with DataContext.current(context):
        items = [{"row": row, "path": str(path.resolve())} for row, path in enumerate(paths)]
        blocks = -(-len(items) // IMAGES_PER_TASK)
        named = ray.data.from_items(items, override_num_blocks=blocks)
        return named.map_batches(
            partial(_decode_batch, size=size), batch_size=None, batch_format="pyarrow"
        )


def _decode_batch(batch: pa.Table, size: int) -> pa.Table:
    """Decode one task's images; a broken one is a problem in its row, not a failed task."""
    decoded = [_try_to_decode(path, size) for path in batch["path"].to_pylist()]
    image = pa.array([image for image, _ in decoded], pa.binary(3 * size * size))
    problem = pa.array([problem for _, problem in decoded], pa.string())
    return pa.table({"row": batch["row"], "image": image, "problem": problem})


def _try_to_decode(path: str, size: int) -> tuple[bytes, str | None]:
    try:
        return decode_image(Path(path), size).tobytes(), None
    except Exception as error:  # damaged images raise OSError, SyntaxError, struct.error …
        return bytes(3 * size * size), unreadable(path, error)


def decode_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Read an image as (3, size, size): resized without a crop, bilinear with antialiasing."""
    with Image.open(path) as image:
        resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    pixels: NDArray[Any] = np.asarray(resized, dtype=np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
