"""Scores at the layer that each vertex would choose, instead of at its ROI's."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from orchestrator.scores.score_table import ScoreTable, as_matrix
from orchestrator.scores.segments import Integers, Numbers

BEST_PER_VERTEX: Final = "best-per-vertex"
"""Name of the layer of such scores."""
UNPREDICTED: Final = "predictions are kept at the layer of the ROI, not at the best of each vertex"
"""Why such scores have no interval over test images."""
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
    r, best = as_matrix(rows["r_by_layer"]), _best_layers(rows)
    found: Numbers = np.where(best < 0, np.nan, r[np.arange(len(r)), best])
    return found


def _best_layers(rows: pa.Table) -> Integers:
    """Find the place of each vertex's layer of highest choice score; -1 where it has none."""
    choice = as_matrix(rows["choice_by_layer"])
    best = np.where(np.isnan(choice), -np.inf, choice).argmax(axis=1)
    return np.where(np.isnan(choice).all(axis=1), -1, best).astype(np.int32)


def with_best_layers(rows: pa.Table, layers: Sequence[str]) -> pa.Table:
    """Replace r and the layer in rows of a score file by those of each vertex's best layer.

    layers: of the trial. alpha becomes null, since it is kept at the ROI's layer only; so do r and
    layer of a vertex without a choice score.
    """
    best = _best_layers(rows)
    names = [layers[place] if place >= 0 else None for place in best.tolist()]
    columns = {
        "r": pa.array(_at_best(rows), pa.float64(), from_pandas=True),
        "layer": pa.array(names, pa.string()),
        "alpha": pa.nulls(len(rows), pa.float64()),
    }
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, values)
    return rows
