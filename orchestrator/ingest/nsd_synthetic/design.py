"""Read NSD-synthetic's design and the classes of its images. Files count from 1, this from 0."""

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.tables import read_rows

ORDERING: Final = "masterordering"
NUMBER, SUBCLASS, CLASS = "Image number", "Image subclass", "Image class"

STIMULUS_SCHEMA: Final = pa.schema(
    [
        pa.field("stimulus", pa.string(), nullable=False),
        pa.field("subclass", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
    ]
)
"""One row per image, in the order of the responses' rows."""


def read_design(path: Path, n_images: int) -> NDArray[np.int32]:
    """Read which image each trial shows: (n_trials,), from 0, the same for all subjects.

    n_images: in the files of stimuli. Raises InputError unless each of them is shown, and no other.
    """
    import scipy.io

    require_file(path, "design")
    try:
        found = scipy.io.loadmat(path, variable_names=[ORDERING])
    except Exception as error:  # a damaged file raises nearly anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: expected NSD-synthetic's design as a MATLAB file up to version 7, found a "
            f"damaged or other file ({reason}); download it again"
        ) from error
    if ORDERING not in found:
        raise InputError(f"{path}: expected the variable {ORDERING}, found none; download it again")
    values = np.asarray(found[ORDERING]).reshape(-1)
    if values.dtype.kind not in "biuf" or not len(values) or not (values == np.rint(values)).all():
        raise InputError(
            f"{path}: expected {ORDERING} as whole numbers, found {values.dtype} of "
            f"{values.shape}; download it again"
        )
    numbers = np.unique(values)
    if not np.array_equal(numbers, np.arange(1, n_images + 1)):
        raise InputError(
            f"{path}: expected each image from 1 to {n_images} in {ORDERING}, found "
            f"{len(numbers)} from {int(numbers[0])} to {int(numbers[-1])}; take design and stimuli "
            "from the same release"
        )
    return (values - 1).astype(np.int32)


def stimulus_names(n_images: int) -> tuple[str, ...]:
    """Name the images by their numbers from 1: ``synthetic-001``."""
    return tuple(f"synthetic-{number:03d}" for number in range(1, n_images + 1))


def read_classes(path: Path, n_images: int) -> pa.Table:
    """Read the class and the subclass of each image, by STIMULUS_SCHEMA.

    Raises InputError unless the table has each image once.
    """
    rows = read_rows(path, "the classes of images", (NUMBER, SUBCLASS, CLASS))
    numbers = [row[NUMBER].strip() for row in rows]
    by_number = {int(one): row for one, row in zip(numbers, rows, strict=True) if one.isdecimal()}
    if sorted(by_number) != list(range(1, n_images + 1)) or len(rows) != n_images:
        raise InputError(
            f"{path}: expected the images from 1 to {n_images} in the column {NUMBER!r}, found "
            f"{len(rows)} rows of {len(by_number)} images; download it again"
        )
    ordered = [by_number[number] for number in range(1, n_images + 1)]
    return pa.table(
        {
            "stimulus": stimulus_names(n_images),
            "subclass": [row[SUBCLASS].strip() for row in ordered],
            "class": [row[CLASS].strip() for row in ordered],
        },
        schema=STIMULUS_SCHEMA,
    )
