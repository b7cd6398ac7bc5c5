"""Scores at the layer that each vertex would choose, instead of at its ROI's."""

from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from orchestrator.scores.score_table import ScoreTable, as_matrix
from orchestrator.scores.segments import Numbers

BEST_PER_VERTEX: Final = "best-per-vertex"
"""Name of the layer of such scores."""
COLUMNS: Final = ("r_by_layer", "choice_by_layer")


def at_best_layers(table: ScoreTable) -> ScoreTable:
    """Return the table with each vertex's r at the layer of its highest choice score.

    Under ``nested`` and ``clean`` no test image enters the choice. A vertex without a choice score
    has no r. Raises ValueError naming a file that has changed since the table was read.
    """
    files = list(table.files)
    for number in table.segments["file"].unique().tolist():
        one = files[number]
        r = one.r.copy()
        of_file = table.segments[table.segments["file"] == number]
        places = of_file[["first", "n"]].to_numpy().tolist()
        read = replace(table, segments=of_file).read(COLUMNS)
        for (first, n), rows in zip(places, read, strict=True):
            r[first : first + n] = _at_best(rows)
        files[number] = replace(one, r=r)
    segments = table.segments.assign(layer=BEST_PER_VERTEX)
    return replace(table, segments=segments, files=tuple(files))


def _at_best(rows: pa.Table) -> Numbers:
    """Take r at the layer of the highest choice score; of equal ones, the first."""
    r, choice = (as_matrix(rows[name]) for name in COLUMNS)
    best = np.where(np.isnan(choice), -np.inf, choice).argmax(axis=1)
    found: Numbers = np.where(np.isnan(choice).all(axis=1), np.nan, r[np.arange(len(r)), best])
    return found
