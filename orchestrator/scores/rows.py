"""The rows of a table of scores: the ROIs of each, and their weights."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from trainables.spec.labels import natural, split_label
from trainables.spec.rois import (
    ALL_VERTICES,
    OVERLAPPING_GROUPS,
    ROI_ORDER,
    WHOLE_GROUP,
    counted_groups,
)

By = Literal["group", "roi", "roi-hemisphere", "subject", "subject-roi"]
METHOD_ORDER: Final = ("untuned", "regression", "contrastive", "pooled-avg", "pooled-const")
GROUPS: Final = ("early", "higher", *OVERLAPPING_GROUPS)
"""ROI groups in the order of all tables."""
ROI_COLUMNS: Final = ("dataset", "subject", "hemisphere", "roi", "group")
"""Columns that an ROI's id determines."""


@dataclass(frozen=True)
class Row:
    """A row of a table: the ROIs that its numbers are computed from."""

    label: str
    rois: tuple[str, ...]
    is_total: bool = False


def method_order(labels: Iterable[str]) -> list[str]:
    """Sort labels by method, in the order of METHOD_ORDER, then the others by name, and by value.

    labels: of methods and their settings (trainables.spec.labels).
    """
    rank = {name: number for number, name in enumerate(METHOD_ORDER)}

    def key(label: str) -> tuple[Any, ...]:
        method, values = split_label(label)
        return (rank.get(method, len(rank)), method, [natural(one) for one in values.values()])

    return sorted(set(labels), key=key)


def rois_of(vertices: pd.DataFrame) -> pd.DataFrame:
    """List the ROIs of a table of vertices, in the tables' order: index roi_id, ROI_COLUMNS."""
    rois = (
        vertices[["roi_id", *ROI_COLUMNS]].drop_duplicates("roi_id").astype(str).set_index("roi_id")
    )
    rank = {roi_name: number for number, roi_name in enumerate(ROI_ORDER)}
    place = rois["roi"].map(lambda roi_name: rank.get(roi_name, len(rank)))
    order = ["dataset", "subject", "hemisphere", "place", "roi"]
    return rois.assign(place=place).sort_values(order).drop(columns="place")


def without_overlapping(rois: pd.DataFrame) -> pd.DataFrame:
    """Drop the ROIs of groups that overlap others: streams, atlases and whole hemispheres.

    Where there is nothing else, keep the first of these groups that is there.
    """
    return rois[rois["group"].isin(counted_groups(rois["group"].unique()))]


def family_of(groups: Iterable[str]) -> str:
    """Name the family of tests that those of ROIs of some groups are corrected with.

    Each of OVERLAPPING_GROUPS is a family of its own, since it repeats vertices of other ROIs; all
    others are one, named ''.
    """
    found = set(groups)
    return found.pop() if len(found) == 1 and found <= set(OVERLAPPING_GROUPS) else ""


def rows_by(rois: pd.DataFrame, by: By) -> list[Row]:
    """List a table's rows; totals leave out OVERLAPPING_GROUPS."""
    if by == "subject-roi":
        return [Row(_short(rois, roi), (roi,)) for roi in map(str, rois.index)]
    if by == "subject":
        return _subject_rows(without_overlapping(rois))
    groups = _group_rows(rois)
    if by == "group":
        return groups
    rows = _roi_rows(rois, by_hemisphere=by == "roi-hemisphere")
    parts = {row.rois for row in rows}
    totals = [
        Row(row.label if row.is_total else f"all {row.label}", row.rois, is_total=True)
        for row in groups
        if not row.label.endswith(OVERLAPPING_GROUPS) and row.rois not in parts
    ]
    return [*rows, *totals]


def _roi_rows(rois: pd.DataFrame, *, by_hemisphere: bool) -> list[Row]:
    """List a row per ROI name, or one per name and hemisphere: ``V1v lh``."""
    names = list(dict.fromkeys(rois["roi"]))
    ranked = [name for name in (*ROI_ORDER, *sorted(set(names) - set(ROI_ORDER))) if name in names]
    groups = {name: rois[rois["roi"] == name] for name in ranked}
    if not by_hemisphere:
        return [Row(_shown(name), tuple(part.index)) for name, part in groups.items()]
    return [
        Row(f"{_shown(name)} {side}", tuple(of_side.index))
        for name, part in groups.items()
        for side, of_side in part.groupby("hemisphere")
    ]


def _shown(roi_name: str) -> str:
    """Name an ROI in a table, where ``all`` names totals."""
    return WHOLE_GROUP if roi_name == ALL_VERTICES else roi_name


def _short(rois: pd.DataFrame, roi: str) -> str:
    """Name an ROI with spaces, where narrow tables wrap; with its data set if there are two."""
    parts = [str(rois.at[roi, name]) for name in ("dataset", "subject", "hemisphere")]
    parts.append(_shown(str(rois.at[roi, "roi"])))
    return " ".join(parts if rois["dataset"].nunique() > 1 else parts[1:])


def _subject_rows(rois: pd.DataFrame) -> list[Row]:
    several = rois["dataset"].nunique() > 1
    rows = [
        Row(f"{dataset}-{subject}" if several else str(subject), tuple(part.index))
        for (dataset, subject), part in rois.groupby(["dataset", "subject"])
    ]
    if several or len(rows) == 1:
        return rows
    return [*rows, Row("all", tuple(rois.index), is_total=True)]


def _group_rows(rois: pd.DataFrame) -> list[Row]:
    """List the groups' rows; each data set has its own, since its subjects differ."""
    if rois["dataset"].nunique() > 1:
        parts = [(str(name), _group_rows(part)) for name, part in rois.groupby("dataset")]
        return [replace(row, label=f"{name} {row.label}") for name, rows in parts for row in rows]
    found = rois.groupby("group").groups
    rows = [Row(g, tuple(found[g])) for g in GROUPS if g in found]
    both = {"early", "higher"} <= set(found)
    everything = Row("all", tuple(without_overlapping(rois).index), is_total=True)
    return [*rows, everything] if both else rows


def roi_weights(rois: pd.DataFrame) -> "pd.Series[float]":
    """Weigh ROIs so that the weighted sum is the mean over ROIs of a subject, then subjects."""
    subjects = list(zip(rois["dataset"], rois["subject"], strict=True))
    return pd.Series(subject_weights(subjects), index=rois.index, dtype=float)


def subject_weights(subjects: Sequence[tuple[str, str]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Weigh ROIs as :func:`roi_weights`, by their (dataset, subject)."""
    n_rois = Counter(subjects)
    return np.array([1.0 / (n_rois[subject] * len(n_rois)) for subject in subjects])
