"""The statistics of a comparison: over images, over subjects, and against the noise ceiling."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pandas as pd
import pyarrow as pa
from rich.table import Table

from orchestrator.scores.display.interval_notes import describe_missing
from orchestrator.scores.display.statistics_tables import (
    explained_table,
    hemisphere_table,
    image_table,
    share_table,
    subject_table,
)
from orchestrator.scores.rows import By
from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.hemispheres import contrast_hemispheres
from orchestrator.scores.statistics.image_tests import (
    ImageTests,
    compare_over_images,
    summarise_over_images,
)
from orchestrator.scores.statistics.measured_differences import measure_differences
from orchestrator.scores.statistics.noise_ceilings import explain, with_ceilings
from orchestrator.scores.statistics.paired_predictions import PROTOCOL
from orchestrator.scores.statistics.share_differences import ShareDifference, compare_shares
from orchestrator.scores.statistics.subject_tests import SubjectBootstrap, compare_over_subjects
from orchestrator.scores.statistics.vertex_pairs import pair
from orchestrator.scores.vertex_layers import BEST_PER_VERTEX, UNPREDICTED
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

SHOWN: Final = 2
DIFFERENCES: Final = {
    "method_a": pa.string(),
    "method_b": pa.string(),
    "dataset": pa.string(),
    "subject": pa.string(),
    "hemisphere": pa.string(),
    "roi": pa.string(),
    "vertex": pa.int32(),
    "n_images": pa.int32(),
    "r_a": pa.float64(),
    "r_b": pa.float64(),
    "difference": pa.float64(),
    "standard_error": pa.float64(),
    "low": pa.float64(),
    "high": pa.float64(),
    "interval_over": pa.string(),
    "p": pa.float64(),
    "q": pa.float64(),
    "is_simulated": pa.bool_(),
}
"""Columns of exported vertex tests; null where an r is undefined."""


@dataclass(frozen=True)
class Places:
    """The directories of a sweep's results and of its data."""

    runs: RunDirectory
    data: DataDirectory


@dataclass(frozen=True)
class Statistics:
    """The tables of a comparison, notes on what is missing, and the tests of the vertices."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]
    tests: tuple[ImageTests, ...] = field(default=())
    shares: tuple[ShareDifference, ...] = field(default=())
    """Differences in the share of the explainable variance, of every pair and row."""


NO_STATISTICS: Final = Statistics((), ())


def compute_statistics(
    table: ScoreTable,
    pairs: Sequence[tuple[str, str]],
    by: By,
    places: Places,
) -> Statistics:
    """Compare pairs of methods over images and over subjects, and all with the noise ceiling.

    table: the scores of these methods under one protocol, of all seeds. Raises ValueError when a
    file of predictions is damaged.
    """
    vertices = table.over_seeds
    protocol = str(vertices["protocol"].iloc[0])
    tables: list[Table] = []
    notes: list[str] = []
    tests: list[ImageTests] = []
    untestable = _untestable(vertices, protocol)
    if untestable is None:
        for methods in pairs:
            found = compare_over_images(vertices, methods, (places.runs, places.data))
            rows = summarise_over_images(found, by)
            notes += _describe_missing(methods, found)
            if rows:
                tests.append(found)
                tables.append(image_table(rows, by, len(found.missing)))
    else:
        notes.append(f"over test images: not available, {untestable}")
    subjects = SubjectBootstrap()
    if by == "subject-roi":
        notes.append("over subjects: not available by subject-roi, where a row is of one subject")
    for a, b in pairs if by != "subject-roi" else ():
        paired = pair(vertices, a, b)
        over_subjects = compare_over_subjects(paired, by, subjects)
        if over_subjects:
            tables.append(subject_table(over_subjects, by, protocol, subjects))
        if by == "roi-hemisphere" and (contrasts := contrast_hemispheres(paired)):
            tables.append(hemisphere_table(contrasts, b))
    ceilings = _compare_with_ceilings(table, pairs, by, places)
    tables += ceilings.tables
    notes += ceilings.notes
    return Statistics(tuple(tables), tuple(notes), tuple(tests), ceilings.shares)


def _compare_with_ceilings(
    table: ScoreTable, pairs: Sequence[tuple[str, str]], by: By, places: Places
) -> Statistics:
    """Compute each method's share of the explainable variance, and the differences of pairs."""
    vertices = with_ceilings(table.over_seeds, places.data)
    protocol = str(vertices["protocol"].iloc[0])
    explained = explain(vertices, by)
    if all(one.share is None for one in explained):
        unknown = f"noise ceiling: not available ({places.data} holds none for these vertices)"
        return Statistics((), (unknown,))
    shown = explained_table(explained, by, protocol)
    if _untestable(vertices, protocol) is not None:
        return Statistics((shown,), ())
    measured = measure_differences(table, pairs, places.runs, places.data, of="share")
    found = [compare_shares(vertices, one, by, measured) for one in pairs]
    missing = [f"share of the explainable variance: {one}" for one in describe_missing(measured)]
    return Statistics(
        (shown, *(share_table(rows, by) for rows in found if rows)),
        tuple(missing),
        shares=tuple(one for rows in found for one in rows),
    )


def _untestable(vertices: pd.DataFrame, protocol: str) -> str | None:
    """Say why no prediction belongs to the scores; None where some may."""
    if (vertices["layer"] == BEST_PER_VERTEX).any():
        return UNPREDICTED
    return None if protocol == PROTOCOL else f"{protocol} predicts no image just once"


def _describe_missing(methods: tuple[str, str], found: ImageTests) -> list[str]:
    """Count the ROIs that could not be tested over images, with the reason of the first."""
    if not found.missing:
        return []
    shown = "; ".join(dict.fromkeys(found.missing[:SHOWN]))
    more = "" if len(found.missing) <= SHOWN else "; …"
    return [
        f"over test images, {methods[0]} against {methods[1]}: {len(found.missing):,} ROIs not "
        f"available: {shown}{more}"
    ]


def difference_rows(tests: Sequence[ImageTests], table: ScoreTable) -> pa.Table:
    """Tabulate every tested vertex of every pair of methods, with the columns of DIFFERENCES.

    table: the scores that were compared, which say whether a subject's responses are simulated.
    """
    place = ["dataset", "subject"]
    flags = table.segments[[*place, "is_simulated"]].groupby(place, observed=True).any()
    of_subject = flags["is_simulated"].to_dict()
    parts = [
        one.vertices.assign(method_a=one.a, method_b=one.b, interval_over="images") for one in tests
    ]
    frame = pd.concat(parts, ignore_index=True)
    subjects = zip(frame["dataset"], frame["subject"], strict=True)
    frame = frame.assign(is_simulated=[of_subject[one] for one in subjects])[list(DIFFERENCES)]
    schema = pa.schema([pa.field(name, kind) for name, kind in DIFFERENCES.items()])
    return pa.Table.from_pandas(frame, schema, preserve_index=False).replace_schema_metadata(None)
