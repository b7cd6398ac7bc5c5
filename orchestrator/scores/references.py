"""Which labels are compared: each with the reference method of its backbone and encoding."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import method_order
from orchestrator.scores.score_table import ScoreTable
from trainables.spec.evaluation import WorkItem, training_of
from trainables.spec.labels import method_of
from trainables.wording import some

UNTUNED: Final = "untuned"
VERTEX: Final = ("roi_id", "data", "vertex")
"""Columns that name a vertex of an ROI, of the same ingested data."""


def works_of(table: ScoreTable) -> dict[str, WorkItem]:
    """Return a trial or an evaluation of each label that has scores in a table."""
    found = table.segments[["method", "trial_id"]].drop_duplicates("method")
    return {
        str(label): table.trials[str(trial_id)]
        for label, trial_id in found.itertuples(index=False, name=None)
    }


def references(table: ScoreTable, method: str = UNTUNED) -> dict[str, list[str]]:
    """Find the labels of a method with the same backbone and encoding, for each other label.

    Of several untuned ones that differ in determinism alone, that of the same determinism is taken.
    """
    works = works_of(table)
    basis = {label: _basis(one) for label, one in works.items()}
    candidates = [label for label in works if method_of(label) == method]
    found = {}
    for label in method_order(label for label in works if method_of(label) != method):
        alike = [one for one in candidates if basis[one] == basis[label]]
        found[label] = method_order(_as_deterministic(alike, works, works[label]))
    return found


def _basis(work_item: WorkItem) -> object:
    """Return what two trials share whose scores differ by the fine-tuning alone."""
    encoding = work_item.encoding
    return (work_item.backbone, encoding and replace(encoding, protocols=("nested",)))


def _as_deterministic(
    labels: list[str], works: Mapping[str, WorkItem], work_item: WorkItem
) -> list[str]:
    wanted = training_of(work_item).deterministic
    same = [label for label in labels if training_of(works[label]).deterministic == wanted]
    return same or labels


def with_references(
    table: ScoreTable, method: str = UNTUNED
) -> tuple[list[tuple[str, str]], list[str]]:
    """Pair each label with those of a method of the same backbone and encoding.

    Returns the pairs, and a note on the labels that have none.
    """
    found = references(table, method)
    alone = [label for label, others in found.items() if not others]
    pairs = [(label, other) for label, others in found.items() for other in others]
    if not alone or not any(method_of(label) == method for label in works_of(table)):
        return pairs, []
    return pairs, [f"no {method} of the same backbone and encoding: {some(alone, '; ')}"]


def join_untuned(rows: pd.DataFrame, table: ScoreTable) -> pd.DataFrame:
    """Add r_untuned: r of the same vertex, untuned, of the same backbone and encoding; else NaN.

    rows: of vertices, with columns method, roi_id, data and vertex. table: one protocol.
    """
    labels = [label for label in works_of(table) if method_of(label) == UNTUNED]
    places = {label: place for place, label in enumerate(labels)}
    found = {label: places[others[0]] for label, others in references(table).items() if others}
    vertices = table.over_seeds
    untuned = vertices.loc[vertices["method"].isin(labels), [*VERTEX, "method", "r"]]
    key = [*VERTEX, "reference"]
    joined = _with_reference(rows, places | found).merge(
        _with_reference(untuned, places).rename(columns={"r": "r_untuned"})[[*key, "r_untuned"]],
        on=key,
        how="left",
        validate="many_to_one",
    )
    return joined.drop(columns="reference")


def _with_reference(rows: pd.DataFrame, places: Mapping[str, int]) -> pd.DataFrame:
    """Add the number of the untuned label that each row is compared with; -1: none."""
    methods = rows["method"].astype("category").cat
    numbers = np.array([*(places.get(label, -1) for label in methods.categories), -1])
    return rows.assign(reference=numbers[methods.codes])
