"""The scores of one model on NSD-synthetic, over all images and by class, as a Parquet file."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.storage.atomic import read_parquet, write_parquet
from trainables.wording import some

ALL_CLASSES: Final = "all"
SOURCES_KEY: Final = b"cortex_sweep.sources"

_TEXT, _NUMBERS = pa.string(), pa.list_(pa.field("item", pa.float64()))
SCHEMA: Final = pa.schema(
    [
        pa.field("model", _TEXT, nullable=False),
        pa.field("dataset", _TEXT, nullable=False),
        pa.field("subject", _TEXT, nullable=False),
        pa.field("hemisphere", _TEXT, nullable=False),
        pa.field("roi", _TEXT, nullable=False),
        pa.field("group", _TEXT, nullable=False),
        pa.field("roi_id", _TEXT, nullable=False),
        pa.field("method", _TEXT, nullable=False),
        pa.field("setting", _TEXT, nullable=False),
        pa.field("seed", _TEXT),
        pa.field("layer", _TEXT, nullable=False),
        pa.field("image_class", _TEXT, nullable=False),
        pa.field("n_images", pa.int32(), nullable=False),
        pa.field("n_groups", pa.int32(), nullable=False),
        pa.field("vertex", pa.list_(pa.field("item", pa.int32())), nullable=False),
        pa.field("r", _NUMBERS, nullable=False),
        pa.field("r_refitted", _NUMBERS, nullable=False),
        pa.field("r_in", _NUMBERS, nullable=False),
        pa.field("noise_ceiling", _NUMBERS, nullable=False),
        pa.field("noise_ceiling_in", _NUMBERS, nullable=False),
        pa.field("r_mean", pa.float64()),
        pa.field("r_refitted_mean", pa.float64()),
        pa.field("r_in_mean", pa.float64()),
        pa.field("standard_error_in", pa.float64()),
        pa.field("image", pa.list_(pa.field("item", _TEXT)), nullable=False),
        pa.field("effect", _NUMBERS, nullable=False),
        pa.field("effect_refitted", _NUMBERS, nullable=False),
        pa.field("is_simulated", pa.bool_(), nullable=False),
    ]
)
"""One row per class of images, and one for all of them; docs/encoding-models.md says what each
column means."""


def write_scores(path: Path, scores: pa.Table, sources: str) -> None:
    """Write a model's scores atomically, with the digest of their sources."""
    write_parquet(path, scores.replace_schema_metadata({SOURCES_KEY: sources.encode()}))


def is_written(path: Path, sources: str) -> bool:
    """Return whether a file has a model's scores from these sources; a damaged one has not."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    recorded: bytes | None = (schema.metadata or {}).get(SOURCES_KEY)
    return recorded == sources.encode() and schema.equals(SCHEMA)


def read_scores(path: Path) -> pa.Table:
    """Read a model's scores; raise ValueError naming a file that is damaged or of other columns."""
    cure = f"remove it, and {_again(path)}"
    try:
        table = read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: damaged or missing ({error}); {cure}") from error
    if not table.schema.equals(SCHEMA):
        raise ValueError(
            f"{path}: expected columns {SCHEMA.names}, found {table.schema.names}; {cure}"
        )
    return table


def read_all_scores(paths: Iterable[Path]) -> tuple[list[pa.Table], list[str]]:
    """Read the scores of models; leave out files that are damaged or of other columns.

    Returns the tables, and a line that names what is left out, if anything is.
    """
    tables, left_out = [], []
    for path in paths:
        try:
            tables.append(read_scores(path))
        except ValueError:
            left_out.append(path)
    if not left_out:
        return tables, []
    line = f"left out: {some(left_out)}, damaged or of another version's columns; remove "
    them = "it" if len(left_out) == 1 else "them"
    return tables, [f"{line}{them}, and {_again(left_out[0])}"]


def _again(path: Path) -> str:
    runs = shlex.quote(str(path.parent.parent))
    return f"run: python -m orchestrator.evaluate ood --models MODELS --out {runs}"
