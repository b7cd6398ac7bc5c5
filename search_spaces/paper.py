"""Every ROI x untuned, regression and contrastive, at the paper's settings (arXiv 2410.06067).

python -m orchestrator.sweep paper --data DATA --out RUNS

With NSD's eight subjects: 8 untuned trials (one per subject) and 312 each of the other two methods,
over the 24 ROIs that are not streams. Scored under ``nested`` (choices within the training images)
and ``paper`` (the protocol of the published figures, optimistic for every method alike). As in the
paper, no training image is held back, so no retrieval is measured. Expected under ``paper``, on
data ingested with ``--split paper``: mean r over the early ROIs .386 untuned, .409 regression, .416
contrastive. ``--dry-run`` estimates the cost on your data.
"""

from collections.abc import Iterator, Sequence

from trainables.spec import (
    Backbone,
    Contrastive,
    Encoding,
    Objective,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.rois import STREAMS, is_only_evaluated

BACKBONE = Backbone("alexnet", "IMAGENET1K_V1")
ENCODING = Encoding(protocols=("nested", "paper"))
OBJECTIVES: tuple[Objective, ...] = (
    Untuned(),
    Regression(learning_rate=2.5e-5, batch_size=1024, epochs=75),
    Contrastive(learning_rate=1e-4, batch_size=1024, epochs=30, temperature=0.3),
)


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the three objectives for every ROI that is not a stream, NOD's left out."""
    for roi in rois:
        if roi.name not in STREAMS and not is_only_evaluated(roi):
            for objective in OBJECTIVES:
                yield Trial(objective, (roi,), BACKBONE, ENCODING)
