"""Differences of two methods in their share of the explainable variance, row by row."""

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from orchestrator.scores.rows import By, Row, roi_weights, rois_of, rows_by
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty, mean_uncertainty
from orchestrator.scores.statistics.measured_differences import MeasuredDifferences, Pair
from orchestrator.scores.statistics.noise_ceilings import shares


@dataclass(frozen=True)
class ShareDifference:
    """The difference of two methods on a row; None where an ROI's predictions are missing."""

    row: Row
    a: str
    b: str
    difference: float | None
    """Median share of a minus that of b in an ROI, averaged like every number of a row."""
    uncertainty: Uncertainty | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference."""
        if self.difference is None or self.uncertainty is None:
            return None
        half = self.uncertainty.half_width
        return self.difference - half, self.difference + half


def compare_shares(
    vertices: pd.DataFrame, pair: Pair, by: By, measured: MeasuredDifferences
) -> list[ShareDifference]:
    """Compare a pair of methods on every row with ROIs in which both have shares.

    vertices: as of :func:`~orchestrator.scores.statistics.noise_ceilings.with_ceilings`. measured:
    the differences of the pair's shares.
    """
    known = vertices.assign(share=shares(vertices)).dropna(subset=["share"])
    a, b = (rois_of(known[known["method"] == method]) for method in pair)
    rois = a.loc[a.index.isin(b.index)]
    found = measured.differences.get(pair, {})
    differences = []
    for row in rows_by(rois, by) if len(rois) else ():
        of_row = rois.loc[list(row.rois)]
        weights = roi_weights(of_row).tolist()
        several = [found[roi] for roi in row.rois if roi in found]
        is_complete = bool(several) and len(several) == len(row.rois)
        weighted = zip(weights, several, strict=is_complete)
        differences.append(
            ShareDifference(
                row,
                *pair,
                sum(weight * one.difference for weight, one in weighted) if is_complete else None,
                mean_uncertainty(several, weights) if is_complete else None,
            )
        )
    return differences


def share_of_row(
    differences: Iterable[ShareDifference], pair: Pair, row: Row
) -> ShareDifference | None:
    """Find the difference of a pair of methods on a row, by the label of the row."""
    key = (*pair, row.label, row.is_total)
    of_row = (one for one in differences if (one.a, one.b, one.row.label, one.row.is_total) == key)
    return next(of_row, None)
