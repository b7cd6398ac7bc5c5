"""Every analysis, in the order in which they are made and shown."""

from collections.abc import Sequence
from typing import Final

from orchestrator.analyze.analysis import Analysis
from orchestrator.analyze.questions import (
    brain_fit,
    classification,
    controls,
    improvement,
    landscape,
    layers,
    mutual_information,
    ood,
    pooling,
    rois,
    saliency,
    surface,
    transfer,
    variance,
)
from trainables.wording import meant

ANALYSES: Final[tuple[Analysis, ...]] = (
    improvement.ANALYSIS,
    rois.ANALYSIS,
    layers.ANALYSIS,
    surface.ANALYSIS,
    pooling.ANALYSIS,
    controls.ANALYSIS,
    variance.ANALYSIS,
    transfer.ANALYSIS,
    ood.ANALYSIS,
    classification.ANALYSIS,
    brain_fit.ANALYSIS,
    landscape.ANALYSIS,
    mutual_information.ANALYSIS,
    saliency.ANALYSIS,
)


def find(names: Sequence[str]) -> list[Analysis]:
    """Return the named analyses in their order, all for no name; raise ValueError for others."""
    known = [one.name for one in ANALYSES]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"unknown analysis {', '.join(unknown)}; expected some of {', '.join(known)}, or none "
            f"for all{meant(unknown[0], known)}"
        )
    return [one for one in ANALYSES if not names or one.name in names]
