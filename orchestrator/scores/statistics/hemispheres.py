"""Whether two methods differ more in the left than in the right hemisphere, over subjects."""

from dataclasses import dataclass, replace

import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS, Row, rows_by
from orchestrator.scores.statistics.subject_tests import (
    corrected,
    paired_t,
    roi_numbers,
    sign_flip,
)
from orchestrator.scores.statistics.vertex_pairs import Pairs


@dataclass(frozen=True)
class HemisphereContrast:
    """The difference of two methods in lh minus that in rh; None where there are too few subjects.

    Each subject counts once, with the ROIs of the row that it has in both hemispheres.
    """

    row: Row
    method: str
    n_subjects: int
    left: float
    """Mean over subjects of mean r of a minus mean r of b, in lh."""
    right: float
    t_p: float | None
    """Paired t over subjects of lh against rh, two-sided."""
    flip_p: float | None
    """Sign-flip test over subjects, two-sided."""
    t_q: float | None = None
    """t_p corrected over the rows that are not totals; None in a total."""
    flip_q: float | None = None

    @property
    def contrast(self) -> float:
        """The difference in lh minus the difference in rh."""
        return self.left - self.right


def contrast_hemispheres(pairs: Pairs) -> list[HemisphereContrast]:
    """Contrast lh with rh in every ROI and group, and correct as `corrected` does."""
    if pairs.frame.empty:
        return []
    rois = roi_numbers(pairs.frame)
    place = ["dataset", "subject", "roi"]
    both = rois[rois.groupby(place)["hemisphere"].transform("nunique") == 2]
    found = [_contrast(row, pairs.a, both.loc[list(row.rois)]) for row in _rows(both)]
    q = corrected(found, both)
    return [replace(one, t_q=t, flip_q=flip) for one, (t, flip) in zip(found, q, strict=True)]


def _rows(both: pd.DataFrame) -> list[Row]:
    return rows_by(both[list(ROI_COLUMNS)], "roi") if len(both) else []


def _contrast(row: Row, method: str, rois: pd.DataFrame) -> HemisphereContrast:
    differences = rois.assign(difference=rois["a"] - rois["b"])
    keys = ["dataset", "subject", "hemisphere"]
    sides = differences.groupby(keys)["difference"].mean().unstack("hemisphere")
    contrasts = (sides["lh"] - sides["rh"]).to_numpy()
    return HemisphereContrast(
        row=row,
        method=method,
        n_subjects=len(sides),
        left=float(sides["lh"].mean()),
        right=float(sides["rh"].mean()),
        t_p=paired_t(contrasts),
        flip_p=sign_flip(contrasts),
    )
