"""The section of each analysis."""

from typing import Final

from orchestrator.report.sections import (
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
from orchestrator.report.sections.section import Draw

SECTIONS: Final[dict[str, Draw]] = {
    "brain_fit": brain_fit.section,
    "classification": classification.section,
    "controls": controls.section,
    "improvement": improvement.section,
    "landscape": landscape.section,
    "layers": layers.section,
    "mutual_information": mutual_information.section,
    "ood": ood.section,
    "pooling": pooling.section,
    "rois": rois.section,
    "saliency": saliency.section,
    "surface": surface.section,
    "transfer": transfer.section,
    "variance": variance.section,
}
