"""The rows of a table of scores: which cells each is made of, and how much each cell weighs."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

import pandas as pd

from trainables.spec.rois import ROI_ORDER

By = Literal["group", "roi", "subject", "cell"]
METHOD_ORDER: Final = ("untuned", "regression", "contrastive", "pooled-avg", "pooled-const")
CELL: Final = ("dataset", "subject", "hemisphere", "roi", "group")
"""What is known of a cell by its id."""


@dataclass(frozen=True)
class Row:
    """A row of a table: which cells its numbers are made of."""

    label: str
    cells: tuple[str, ...]
    is_total: bool = False


def method_order(methods: Iterable[str]) -> list[str]:
    """Sort methods in the order of METHOD_ORDER, then the others by name."""
    rank = {name: number for number, name in enumerate(METHOD_ORDER)}
    return sorted(set(methods), key=lambda name: (rank.get(name, len(rank)), name))


def cells_of(vertices: pd.DataFrame) -> pd.DataFrame:
    """List the cells of a table of vertices: index cell, columns CELL, in the tables' order."""
    cells = vertices[["cell", *CELL]].drop_duplicates("cell").astype(str).set_index("cell")
    rank = {roi: number for number, roi in enumerate(ROI_ORDER)}
    place = cells["roi"].map(lambda roi: rank.get(roi, len(rank)))
    order = ["dataset", "subject", "hemisphere", "place", "roi"]
    return cells.assign(place=place).sort_values(order).drop(columns="place")


def without_streams(cells: pd.DataFrame) -> pd.DataFrame:
    """Drop the streams, which overlap the other ROIs; keep them where there is nothing else."""
    kept = cells[cells["group"] != "streams"]
    return cells if kept.empty else kept


def rows_by(cells: pd.DataFrame, by: By) -> list[Row]:
    """List a table's rows; a total mixes ROIs, so it leaves the streams out."""
    if by == "cell":
        return [Row(_short(cells, cell), (cell,)) for cell in map(str, cells.index)]
    if by == "subject":
        return _subject_rows(without_streams(cells))
    groups = _group_rows(cells)
    if by == "group":
        return groups
    rois = {str(roi): part for roi, part in cells.groupby("roi", sort=False).groups.items()}
    ranked = [roi for roi in (*ROI_ORDER, *sorted(set(rois) - set(ROI_ORDER))) if roi in rois]
    rows = [Row(roi, tuple(rois[roi])) for roi in ranked]
    parts = {row.cells for row in rows}
    totals = [
        Row(row.label if row.is_total else f"all {row.label}", row.cells, is_total=True)
        for row in groups
        if not row.label.endswith("streams") and row.cells not in parts
    ]
    return [*rows, *totals]


def _short(cells: pd.DataFrame, cell: str) -> str:
    """Name a cell with spaces, where a narrow table breaks; with its data set if there are two."""
    parts = [str(cells.at[cell, name]) for name in ("dataset", "subject", "hemisphere", "roi")]
    return " ".join(parts if cells["dataset"].nunique() > 1 else parts[1:])


def _subject_rows(cells: pd.DataFrame) -> list[Row]:
    several = cells["dataset"].nunique() > 1
    rows = [
        Row(f"{dataset}-{subject}" if several else str(subject), tuple(part.index))
        for (dataset, subject), part in cells.groupby(["dataset", "subject"])
    ]
    if several or len(rows) == 1:
        return rows
    return [*rows, Row("all", tuple(cells.index), is_total=True)]


def _group_rows(cells: pd.DataFrame) -> list[Row]:
    """List the groups' rows; of two data sets, each has its own: they are of other subjects."""
    if cells["dataset"].nunique() > 1:
        parts = [(str(name), _group_rows(part)) for name, part in cells.groupby("dataset")]
        return [replace(row, label=f"{name} {row.label}") for name, rows in parts for row in rows]
    found = cells.groupby("group").groups
    rows = [Row(g, tuple(found[g])) for g in ("early", "higher", "streams") if g in found]
    both = {"early", "higher"} <= set(found)
    everything = Row("all", tuple(without_streams(cells).index), is_total=True)
    return [*rows, everything] if both else rows


def cell_weights(cells: pd.DataFrame) -> "pd.Series[float]":
    """Weigh cells so that the weighted sum is the mean over cells of a subject, then subjects."""
    subjects = list(zip(cells["dataset"], cells["subject"], strict=True))
    n_cells = Counter(subjects)
    weights = [1.0 / (n_cells[subject] * len(n_cells)) for subject in subjects]
    return pd.Series(weights, index=cells.index, dtype=float)
