"""The share of the explainable variance that is explained: r² over the squared noise ceiling.

A vertex's noise ceiling is the highest r that a perfect model could reach; it is stored with the
ingested responses. No share is clipped: by chance one can exceed 1, and a negative r is below 0.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import By, Row, method_order, roi_weights, rois_of, rows_by
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.data.verification import read_vertex_table

Values = np.ndarray[Any, np.dtype[np.float64]]
CEILING: Final = "noise_ceiling"


@dataclass(frozen=True)
class Explained:
    """A method's share of the explainable variance on a row; None without any ceiling."""

    row: Row
    method: str
    ceiling: float | None
    """Mean noise ceiling, as an r."""
    share: float | None
    """Median over an ROI's vertices of r |r| / ceiling², averaged like every number of a row."""
    n_above: int
    """Vertices whose share is above 1."""
    n_vertices: int
    """Vertices with an r and a ceiling above 0."""
    n_without: int
    """Vertices with an r, but without a ceiling, or with one of 0."""


def with_ceilings(vertices: pd.DataFrame, data: DataDirectory) -> pd.DataFrame:
    """Add each vertex's noise ceiling as a column; NaN where none is known.

    vertices: rows of scores. data: the ingested data. A subject that is absent, or
    was ingested again with other content, has no ceilings.
    """
    places = vertices[["dataset", "subject", "data"]].drop_duplicates().astype(str)
    parts = [
        _ceiling_frame(data.shard(f"{dataset}-{subject}")).assign(
            dataset=dataset, subject=subject, data=content
        )
        for dataset, subject, content in places.to_numpy().tolist()
        if has_data(data.shard(f"{dataset}-{subject}"), content)
    ]
    if not parts:
        return vertices.assign(**{CEILING: np.nan})
    keys = ["dataset", "subject", "data", "hemisphere"]
    text = vertices[[*keys, "vertex"]].assign(**{key: vertices[key].astype(str) for key in keys})
    found = text.merge(pd.concat(parts), on=[*keys, "vertex"], how="left", validate="many_to_one")
    return vertices.assign(**{CEILING: found[CEILING].to_numpy()})


def has_data(shard: Path, data: str) -> bool:
    """Return whether a shard exists with the content of this digest."""
    try:
        return Manifest.read(shard).data == data
    except ValueError:
        return False


def read_ceilings(shard: Path) -> dict[str, Values]:
    """Read each hemisphere's noise ceilings: (n_vertices,); NaN where none is known."""
    frame = _ceiling_frame(shard)
    return {
        str(side): part.sort_values("vertex")[CEILING].to_numpy()
        for side, part in frame.groupby("hemisphere")
    }


def _ceiling_frame(shard: Path) -> pd.DataFrame:
    columns = ["hemisphere", "vertex", CEILING]
    frame: pd.DataFrame = read_vertex_table(shard, columns).to_pandas()
    return frame.astype({CEILING: np.float64})


def shares(vertices: pd.DataFrame) -> "pd.Series[float]":
    """Compute r |r| / ceiling² of each vertex; NaN without an r or a ceiling above 0.

    vertices: columns r and noise_ceiling, as of :func:`with_ceilings`.
    """
    ceiling = vertices[CEILING].where(vertices[CEILING] > 0)
    return vertices["r"] * vertices["r"].abs() / ceiling**2


def explain(vertices: pd.DataFrame, by: By) -> list[Explained]:
    """Summarise every method's shares on every row.

    vertices: as of :func:`with_ceilings`, one protocol and one trial per ROI and method.
    """
    scored = vertices.dropna(subset=["r"])
    scored = scored.assign(share=shares(scored))
    methods = method_order(list(scored["method"].unique()))
    rows = rows_by(rois_of(scored), by)
    tables = {method: _rois(scored[scored["method"] == method]) for method in methods}
    return [
        _explained(row, method, tables[method].loc[tables[method].index.isin(row.rois)])
        for row in rows
        for method in methods
        if tables[method].index.isin(row.rois).any()
    ]


def _rois(scored: pd.DataFrame) -> pd.DataFrame:
    known = scored.assign(
        known_ceiling=scored[CEILING].where(scored["share"].notna()), above=scored["share"] > 1
    )
    grouped = known.groupby("roi_id", observed=True)
    numbers = pd.DataFrame(
        {
            "ceiling": grouped["known_ceiling"].mean(),
            "share": grouped["share"].median(),
            "n": grouped["share"].count(),
            "above": grouped["above"].sum(),
            "all": grouped.size(),
        }
    )
    numbers.index = numbers.index.astype(str)
    return rois_of(scored).join(numbers)


def _explained(row: Row, method: str, rois: pd.DataFrame) -> Explained:
    known = rois.dropna(subset=["share"])
    weights = roi_weights(known)
    n_known = int(rois["n"].sum())
    return Explained(
        row=row,
        method=method,
        ceiling=None if known.empty else float((known["ceiling"] * weights).sum()),
        share=None if known.empty else float((known["share"] * weights).sum()),
        n_above=int(rois["above"].sum()),
        n_vertices=n_known,
        n_without=int(rois["all"].sum()) - n_known,
    )
