"""The table of scores: one Parquet file per (trial, ROI), one row per vertex and protocol.

An evaluation's scores are stored like a trial's, under the evaluation's id.
"""

import hashlib
import math
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainables.exceptions import Denied
from trainables.results.provenance import code_version
from trainables.results.run_directory import RunDirectory
from trainables.spec import Roi
from trainables.spec.evaluation import WorkItem, method_on, read_work_item
from trainables.spec.rois import counted_groups, roi_group_of
from trainables.storage.atomic import VERIFIED, read_parquet, write_parquet

if TYPE_CHECKING:
    from trainables.encoding.score_rois import RoiScores

SCORE_SCHEMA: Final = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("dataset", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("roi", pa.string(), nullable=False),
        pa.field("vertex", pa.int32(), nullable=False),
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("layer", pa.string(), nullable=False),
        pa.field("alpha", pa.float64()),
        pa.field("r", pa.float64()),
        pa.field("r_by_layer", pa.list_(pa.float32()), nullable=False),
        pa.field("choice_by_layer", pa.list_(pa.float32()), nullable=False),
        pa.field("n_test", pa.int32(), nullable=False),
        pa.field("host", pa.string(), nullable=False),
        pa.field("trained_on", pa.string()),
        pa.field("n_overlap", pa.int32(), nullable=False),
        pa.field("n_excluded", pa.int32(), nullable=False),
    ]
)
"""r, alpha: null where a vertex is constant and has no score. r_by_layer: r at each of the trial's
layers (listed in the file's metadata), NaN where there is none. choice_by_layer: the r by which
layers are chosen, which uses no test image under ``nested`` and ``clean``. trained_on: ids of the
ROIs that the backbone was fine-tuned on, separated by spaces; null if untuned. n_overlap: number of
the subject's test images that the backbone was trained on. n_excluded: number of test images
excluded from r for that reason."""

_TEXTS: Final = [field.name for field in SCORE_SCHEMA if pa.types.is_string(field.type)]
_ENCODED: Final = pa.schema(
    field.with_type(pa.dictionary(pa.int32(), pa.string())) if field.name in _TEXTS else field
    for field in SCORE_SCHEMA
)

TRIAL_KEY: Final = b"cortex_sweep.trial"
CODE_KEY: Final = b"cortex_sweep.code"
SIMULATED_KEY: Final = b"cortex_sweep.simulated"
DIGEST_KEY: Final = b"cortex_sweep.digest"
"""Metadata keys of a score file: the trial as JSON, the program version that scored it, a mark of
simulated data, and a digest of these, since Parquet's own checksums cover the pages but not the
metadata."""


def write_scores(
    runs: RunDirectory,
    trial: WorkItem,
    scores: "Sequence[RoiScores]",
    *,
    is_simulated: bool = False,
) -> Path:
    """Write one ROI's scores, of all protocols, atomically; return the file."""
    path = runs.score_file(trial.id, scores[0].roi.id)
    table = pa.concat_tables([_rows(trial, one) for one in scores])
    described = describe_scores(trial, code_version(), is_simulated=is_simulated)
    write_parquet(path, table.replace_schema_metadata(described))
    return path


def describe_scores(
    trial: WorkItem, code: str, *, is_simulated: bool = False
) -> dict[bytes, bytes]:
    """Make the metadata of a trial's score file; code: version of the program."""
    described = {TRIAL_KEY: trial.to_json().encode(), CODE_KEY: code.encode()}
    if is_simulated:
        described[SIMULATED_KEY] = b"true"
    return {**described, DIGEST_KEY: _digest(described)}


def _digest(metadata: Mapping[bytes, bytes]) -> bytes:
    """Digest the trial, the program version and the mark of a score file's metadata."""
    marks = [metadata[SIMULATED_KEY]] if SIMULATED_KEY in metadata else []
    parts = [*(metadata.get(key, b"") for key in (TRIAL_KEY, CODE_KEY)), *marks]
    return hashlib.sha256(b"\0".join(parts)).hexdigest().encode()


def check_metadata(path: Path, metadata: Mapping[bytes, bytes] | None) -> None:
    """Raise ValueError naming the file if a score file's metadata differ from what was written."""
    found = metadata or {}
    is_described = any(key in found for key in (TRIAL_KEY, CODE_KEY, DIGEST_KEY))
    if is_described and found.get(DIGEST_KEY) != _digest(found):
        raise ValueError(
            f"{path}: not a readable score file (its metadata have changed); remove it and run the "
            "sweep again"
        )


def _rows(trial: WorkItem, scores: "RoiScores") -> pa.Table:
    n, roi = len(scores.vertex), scores.roi
    constants = {
        "trial_id": trial.id,
        "method": method_on(trial, roi),
        "dataset": roi.dataset,
        "subject": roi.subject,
        "hemisphere": roi.hemisphere,
        "roi": roi.name,
        "protocol": scores.protocol,
        "layer": scores.layer,
        "n_test": scores.n_test,
        "host": socket.gethostname(),
        "n_overlap": scores.n_overlap,
        "n_excluded": scores.n_excluded,
    }
    columns = {
        **{name: pa.array([value] * n) for name, value in constants.items()},
        "trained_on": pa.array([trial.trained_on] * n, pa.string()),
        "vertex": pa.array(scores.vertex),
        "alpha": pa.array(scores.alpha, from_pandas=True),
        "r": pa.array(scores.r, from_pandas=True),
        "r_by_layer": _lists(scores.r_by_layer),
        "choice_by_layer": _lists(scores.choice_by_layer),
    }
    return pa.table(
        {field.name: columns[field.name].cast(field.type) for field in SCORE_SCHEMA},
        schema=SCORE_SCHEMA,
    )


def _lists(by_layer: np.ndarray[Any, Any]) -> pa.Array:
    """Convert (n_layers, n_vertices) to one list of float32 per vertex."""
    return pa.array(list(by_layer.T.astype(np.float32)), type=pa.list_(pa.float32()))


@dataclass(frozen=True)
class ScoreFile:
    """A score file, and the trial and the ROI that its metadata record."""

    path: Path
    work_item: WorkItem
    roi: Roi
    code: str | None
    """Version of the program that scored it; None where it does not say."""
    is_simulated: bool
    """Whether the responses that it scores are simulated."""


def read_score_columns(path: Path, columns: Sequence[str]) -> tuple[ScoreFile, pa.Table] | None:
    """Read what a score file records and some of its columns, text dictionary-encoded.

    Returns None for a stranger: a file whose path is not that of the trial and ROI that it records.
    Raises ValueError naming a file that is damaged, of another schema, or records no trial.
    """
    try:
        with pq.ParquetFile(path, **VERIFIED, read_dictionary=_TEXTS) as opened:
            metadata = opened.metadata.metadata or {}
            check_metadata(path, metadata)
            recorded = _recorded(path, metadata)
            if recorded is None:
                return None
            _check_schema(path, opened.schema_arrow, _ENCODED)
            return recorded, opened.read(list(columns), use_threads=False)
    except PermissionError as error:
        raise Denied.of(path, error) from error
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error


def _recorded(path: Path, metadata: Mapping[bytes, bytes]) -> ScoreFile | None:
    """Parse a score file's metadata; return None if they are those of another path."""
    try:
        work_item = _read_work_item(metadata[TRIAL_KEY])
        code = metadata[CODE_KEY].decode() if CODE_KEY in metadata else None
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"{path}: the trial and ROI of its scores are not recorded in it; "
            "remove it and run the sweep again"
        ) from error
    roi = next((roi for roi in work_item.rois if roi.id == path.stem), None)
    if roi is None or work_item.id != path.parent.name:
        return None
    return ScoreFile(path, work_item, roi, code, SIMULATED_KEY in metadata)


@lru_cache(maxsize=64)  # the keys are texts of tens of kB; files of one trial follow each other
def _read_work_item(text: bytes) -> WorkItem:
    return read_work_item(text)


def is_stranger(path: Path) -> bool:
    """Return whether a score file is a stranger; one that can't be read is none."""
    try:
        return read_score_columns(path, ()) is None
    except ValueError:
        return False


def read_scores(runs: RunDirectory, trial_id: str) -> pa.Table:
    """Read all scores of a trial; return an empty table if there are none.

    Raises ValueError naming a file that can't be read.
    """
    files = runs.score_files(trial_id)
    tables = [read_score_file(path) for path in files if not is_stranger(path)]
    return pa.concat_tables(tables) if tables else SCORE_SCHEMA.empty_table()


def read_score_file(path: Path) -> pa.Table:
    """Read one score file; raise ValueError naming it if it is damaged or of another schema."""
    try:
        table = read_parquet(path)
    except PermissionError as error:
        raise Denied.of(path, error) from error
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error) from error
    check_metadata(path, table.schema.metadata)
    table = table.replace_schema_metadata(None)
    _check_schema(path, table.schema, SCORE_SCHEMA)
    return table


def _unreadable(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path}: not a readable score file ({error}); remove it and run the sweep again"
    )


def _check_schema(path: Path, found: pa.Schema, expected: pa.Schema) -> None:
    if not found.equals(expected):
        raise ValueError(
            f"{path}: columns {found.names}, expected {expected.names}; "
            "remove it and run the sweep again"
        )


def summarise(table: pa.Table) -> dict[str, float]:
    """Summarise scores by protocol: mean and median r, share above 0, and number without an r.

    Keys are ``{protocol}_r_mean``, ``_r_median``, ``_share_positive``, ``_n_vertices``,
    ``_n_constant``. A protocol without any r has only its counts. Streams, atlases and whole
    hemispheres, which hold vertices of other ROIs again, are left out where there are others.
    """
    summary: dict[str, float] = {}
    groups = {name: roi_group_of(name) for name in pc.unique(table["roi"]).to_pylist()}
    counted = counted_groups(groups.values())
    names = [name for name, group in groups.items() if group in counted]
    table = table.filter(pc.is_in(table["roi"], pa.array(names, pa.string())))
    for protocol in pc.unique(table["protocol"]).to_pylist():
        r = table.filter(pc.equal(table["protocol"], protocol))["r"]
        found = r.drop_null().to_numpy()
        summary[f"{protocol}_n_vertices"] = float(len(r))
        summary[f"{protocol}_n_constant"] = float(r.null_count)
        if len(found):
            summary[f"{protocol}_r_mean"] = math.fsum(found) / len(found)
            summary[f"{protocol}_r_median"] = float(np.median(found))
            summary[f"{protocol}_share_positive"] = float(np.mean(found > 0))
    return summary
