"""Two methods on the same vertices of each ROI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS, rois_of
from orchestrator.scores.statistics.measured_differences import MeasuredDifferences
from orchestrator.scores.statistics.roi_differences import RoiDifference
from trainables.spec.rois import BOTH


@dataclass(frozen=True)
class Pairs:
    """The vertices for which two methods have an r, and the number of the others."""

    a: str
    b: str
    frame: pd.DataFrame
    """One row per vertex of an ROI: ROI_COLUMNS, ROI, vertex, a and b, r of each method, and
    n_seeds of a."""
    n_only_a: int
    n_only_b: int
    n_constant: int
    """Vertices that both scored, but at least one without an r."""


@dataclass(frozen=True)
class PairedRois:
    """Two methods in each ROI that both scored, computed once for many tables."""

    a: str
    b: str
    rois: pd.DataFrame
    """Index ROI; ROI_COLUMNS, means a and b, better (share of vertices at which a is), n
    vertices, seeds of a."""
    differences: Mapping[str, RoiDifference]
    """What seeds and images add to the difference, by ROI; none without predictions."""

    def of_hemisphere(self, hemisphere: str) -> "PairedRois":
        """Keep the ROIs of lh or rh; of "both", all."""
        return self if hemisphere == BOTH else self.in_side(hemisphere)

    def in_side(self, hemisphere: str) -> "PairedRois":
        """Keep the ROIs whose hemisphere it is; of "both", those of data that divides none."""
        return replace(self, rois=self.rois[self.rois["hemisphere"] == hemisphere])


def pair(vertices: pd.DataFrame, a: str, b: str) -> Pairs:
    """Pair two methods: the same vertex of the same ROI and data, under the same protocol.

    a, b: labels. vertices: one protocol, averaged over seeds; one row per vertex.
    """
    key = ["roi_id", "data", "protocol", "vertex"]
    needed = ([*key, *ROI_COLUMNS, "n_seeds", "r"], [*key, "r"])
    sides = [
        vertices.loc[vertices["method"] == method, columns]
        for method, columns in zip((a, b), needed, strict=True)
    ]
    merged = sides[0].merge(
        sides[1], on=key, how="inner", suffixes=("_a", "_b"), validate="one_to_one"
    )
    frame = merged.rename(columns={"r_a": "a", "r_b": "b"})
    both = frame.dropna(subset=["a", "b"])
    return Pairs(
        a=a,
        b=b,
        frame=both[["roi_id", *ROI_COLUMNS, "vertex", "a", "b", "n_seeds"]],
        n_only_a=len(sides[0]) - len(frame),
        n_only_b=len(sides[1]) - len(frame),
        n_constant=len(frame) - len(both),
    )


def measure_rois(several: Sequence[Pairs], measured: MeasuredDifferences) -> list[PairedRois]:
    """Average each ROI of each pair; measured: of these pairs of methods, for the intervals."""
    return [
        PairedRois(
            pairs.a, pairs.b, _roi_means(pairs), measured.differences.get((pairs.a, pairs.b), {})
        )
        for pairs in several
    ]


def _roi_means(pairs: Pairs) -> pd.DataFrame:
    frame = pairs.frame
    grouped = frame.assign(better=frame["a"] > frame["b"]).groupby("roi_id", observed=True)
    numbers = grouped[["a", "b", "better"]].mean()
    numbers = numbers.assign(n=grouped.size(), seeds=grouped["n_seeds"].first())
    numbers.index = numbers.index.astype(str)
    return rois_of(frame).join(numbers)
