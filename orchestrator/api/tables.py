"""Scores of a sweep as data frames."""

import warnings
from collections.abc import Sequence
from functools import partial
from typing import Final

import pandas as pd

from orchestrator.api.locations import Location
from orchestrator.cli.arguments import data_directory, find_places, run_directory
from orchestrator.scores.filters import keep_values, of_latest_data, one_model_per_roi, started_in
from orchestrator.scores.rows import By
from orchestrator.scores.score_table import ScoreTable, read_score_table
from orchestrator.scores.setting_filters import keep_where, pairs_to_compare
from orchestrator.scores.statistics.measured_differences import measure_differences
from orchestrator.scores.statistics.model_differences import measure_trials
from orchestrator.scores.statistics.summaries import compare_all
from orchestrator.scores.statistics.vertex_pairs import pair
from orchestrator.scores.table_export import comparison_rows
from orchestrator.scores.tidy_export import tidy_rows
from trainables.data.data_directory import DataDirectory, vertices_file
from trainables.data.verification import read_vertex_table
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory

PLACES: Final = ("fsaverage", "fslr", "native_vertex", "voxel_i", "voxel_j", "voxel_k")
"""Columns of vertices that have their places on meshes."""


def scores(
    out: Location,
    *,
    data: Location | None = None,
    protocol: str = "nested",
    where: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the mean scores of a sweep, one row per trial and ROI.

    out: directory of the sweep. data: directory of the shards, for splits and noise ceilings; None:
    ``data`` beside out. where: values that settings must have, such as ``temperature=0.1``. The
    columns are those of ``cortex-sweep scores --export`` (docs/data.md, Exports). Raises ValueError
    if there are no such scores.
    """
    runs, shards = _places(out, data)
    table = _read(runs, protocol, where)
    measured = measure_trials(table, runs, shards)
    rows: pd.DataFrame = tidy_rows(table, shards, partial(Outcome.read, runs), measured).to_pandas()
    return rows


def vertex_scores(
    out: Location,
    *,
    data: Location | None = None,
    protocol: str = "nested",
    where: Sequence[str] = (),
) -> pd.DataFrame:
    """Return the scores of a sweep at every vertex, averaged over seeds.

    Arguments as of :func:`scores`. Columns: method (with what differs between its settings),
    dataset, subject, hemisphere, roi (``all``: every vertex), layer, vertex (a column of the
    responses), fsaverage, fslr and native_vertex (its vertices of these meshes), voxel_i, voxel_j
    and voxel_k (its place in a volume; all of these are missing without one), r, n_seeds.
    """
    runs, shards = _places(out, data)
    kept, _ = one_model_per_roi(_read(runs, protocol, where))
    key = ["dataset", "subject", "hemisphere", "vertex"]
    columns = ["method", *key[:3], "roi", "layer", "vertex", "r", "n_seeds"]
    rows = kept.over_seeds[columns].astype(dict.fromkeys(["method", *key[:3], "roi", "layer"], str))
    return rows.merge(_vertices(shards, rows), on=key, how="left")


def compare(
    out: Location,
    a: str,
    b: str = "untuned",
    *,
    by: By = "group",
    data: Location | None = None,
    protocol: str = "nested",
    where: Sequence[str] = (),
) -> pd.DataFrame:
    """Compare two methods or settings on the vertices that both have scored.

    a, b: as the sides of ``scores --compare``: ``contrastive``, ``temperature=0.1`` or both. by:
    what a row is: ``group``, ``roi``, ``roi-hemisphere``, ``subject`` or ``subject-roi``. Other
    arguments as of :func:`scores`. The columns are those of ``cortex-sweep scores --export --rows
    table`` (docs/data.md, Exports), among them method and reference (the labels of a and b),
    difference, low and high (its 95 % interval; missing without predictions) and interval_over
    (what the interval covers). Raises ValueError for a side that has no scores.
    """
    runs, shards = _places(out, data)
    table, notes = one_model_per_roi(_read(runs, protocol, where))
    labels = pairs_to_compare(table, (a, b))
    measured = measure_differences(table, labels, runs, shards)
    pairs = [pair(table.over_seeds, *each) for each in labels]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    found: pd.DataFrame = comparison_rows(
        compare_all(pairs, by, measured), by, protocol, is_simulated=table.is_simulated
    ).to_pandas()
    return found


def _places(out: Location, data: Location | None) -> tuple[RunDirectory, DataDirectory]:
    places = find_places(
        run_directory(str(out)), None if data is None else data_directory(str(data))
    )
    return places.runs, places.data


def _read(runs: RunDirectory, protocol: str, where: Sequence[str]) -> ScoreTable:
    table = keep_values(read_score_table(runs), "protocol", "protocol", (protocol,))
    table = keep_where(table, where) if where else table
    return of_latest_data(table, started_in(runs))[0]


def _vertices(data: DataDirectory, rows: pd.DataFrame) -> pd.DataFrame:
    """Read the place of each subject's vertices on meshes, of the subjects in the rows."""
    columns = ["hemisphere", "vertex", *PLACES]
    parts = []
    for dataset, subject in rows[["dataset", "subject"]].drop_duplicates().to_numpy().tolist():
        shard = data.shard(f"{dataset}-{subject}")
        if vertices_file(shard).exists():
            frame = read_vertex_table(shard).to_pandas().reindex(columns=columns)
            frame = frame.astype(dict.fromkeys(PLACES, "Int32"))
            parts.append(frame.assign(dataset=dataset, subject=subject))
    empty = pd.DataFrame(columns=[*columns, "dataset", "subject"])
    found = pd.concat(parts) if parts else empty
    return found.astype({"vertex": "int32", **dict.fromkeys(PLACES, "Int32")})
