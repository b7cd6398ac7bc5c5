"""Cells of every ROI, trials of three methods on them, and their costs."""

from collections.abc import Iterator, Sequence

from orchestrator.execution.cost import Costs, Estimate
from trainables.spec import (
    Cell,
    Contrastive,
    Regression,
    Trial,
    Untuned,
)
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES

ALL_CELLS = [
    Cell("nsd", subject, hemisphere, roi, 100 + number, f"data-{subject}")
    for subject in ("subj01", "subj02")
    for hemisphere in HEMISPHERES
    for number, roi in enumerate(roi for rois in ROI_FAMILIES.values() for roi in rois)
]


def three_methods(cells: Sequence[Cell]) -> Iterator[Trial]:
    for cell in cells:
        for objective in (Untuned(), Regression(), Contrastive()):
            yield Trial(objective, (cell,))


def cells(n: int = 3, subject: str = "subj01") -> list[Cell]:
    return [cell for cell in ALL_CELLS if (cell.subject, cell.hemisphere) == (subject, "lh")][:n]


class KnownCosts(Costs):
    """Costs told beforehand: seconds by method."""

    def estimate(self, trial: Trial) -> Estimate:
        return Estimate(
            {"untuned": 1.0, "regression": 3.0, "contrastive": 2.0, "pooled-avg": 9.0}[
                trial.method
            ],
            0,
        )


COSTS = KnownCosts({})
