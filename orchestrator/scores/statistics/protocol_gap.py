"""The same trials under two protocols: the difference of their scores."""

from dataclasses import dataclass

import pandas as pd

from orchestrator.scores.rows import (
    ROI_COLUMNS,
    By,
    Row,
    method_order,
    roi_weights,
    rois_of,
    rows_by,
)


@dataclass(frozen=True)
class Gap:
    """A method's r under two protocols, on the vertices that have both."""

    row: Row
    method: str
    first: float
    second: float
    share_higher: float
    """Share of vertices with the higher r under the second."""
    n_vertices: int

    @property
    def difference(self) -> float:
        """Mean r under the second protocol minus that under the first."""
        return self.second - self.first


def protocol_gaps(vertices: pd.DataFrame, protocols: tuple[str, str], by: By) -> list[Gap]:
    """Compare two protocols on every row: the same vertex and setting, scored under both.

    vertices: rows of scores, averaged over seeds.
    """
    key = ["method", "roi_id", "data", "vertex"]
    first, second = (vertices[vertices["protocol"] == protocol] for protocol in protocols)
    both = first[[*key, *ROI_COLUMNS, "r"]].merge(
        second[[*key, "r"]], on=key, suffixes=("_first", "_second"), validate="one_to_one"
    )
    both = both.dropna(subset=["r_first", "r_second"])
    rows = rows_by(rois_of(both), by) if len(both) else []
    methods = method_order(both["method"].astype(str).unique())
    tables = {method: _rois(both[both["method"] == method]) for method in methods}
    return [
        _gap(row, method, tables[method].loc[tables[method].index.isin(row.rois)])
        for row in rows
        for method in methods
        if tables[method].index.isin(row.rois).any()
    ]


def _rois(both: pd.DataFrame) -> pd.DataFrame:
    higher = both["r_second"] > both["r_first"]
    grouped = both.assign(higher=higher).groupby("roi_id", observed=True)
    numbers = grouped[["r_first", "r_second", "higher"]].mean().assign(n=grouped.size())
    numbers.index = numbers.index.astype(str)
    return rois_of(both).join(numbers)


def _gap(row: Row, method: str, rois: pd.DataFrame) -> Gap:
    weights = roi_weights(rois).to_numpy()
    first, second, higher = (
        float(weights @ rois[name].to_numpy()) for name in ("r_first", "r_second", "higher")
    )
    return Gap(row, method, first, second, higher, int(rois["n"].sum()))
