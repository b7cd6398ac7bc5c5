"""ROIs of every ROI, trials of three methods on them, and their costs."""

from collections.abc import Iterator, Sequence

from orchestrator.execution.cost import Costs, Estimate
from trainables.spec import (
    Contrastive,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES

ALL_ROIS = [
    Roi("nsd", subject, hemisphere, roi_name, 100 + number, f"data-{subject}")
    for subject in ("subj01", "subj02")
    for hemisphere in HEMISPHERES
    for number, roi_name in enumerate(
        roi_name for roi_names in ROI_FAMILIES.values() for roi_name in roi_names
    )
]


def three_methods(rois: Sequence[Roi]) -> Iterator[Trial]:
    for roi in rois:
        for objective in (Untuned(), Regression(), Contrastive()):
            yield Trial(objective, (roi,))


def rois(n: int = 3, subject: str = "subj01") -> list[Roi]:
    return [roi for roi in ALL_ROIS if (roi.subject, roi.hemisphere) == (subject, "lh")][:n]


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
