"""Three methods on a few early ROIs of the simulated subjects: the positive control.

python -m orchestrator.sweep

2 subjects x 3 early ROIs: 2 untuned trials, and 6 each of regression and contrastive; under four
minutes on two CPU cores. Expected: contrastive predicts the early ROIs better than untuned, and the
bootstrap interval of the difference excludes 0.
"""

from collections.abc import Iterator, Sequence

from trainables.spec import (
    FROM_FILE,
    Backbone,
    Contrastive,
    Encoding,
    Regression,
    Roi,
    Trial,
    Untuned,
)

BACKBONE = Backbone("narrow-alexnet", FROM_FILE)
ENCODING = Encoding(protocols=("nested", "paper"))
ROIS = ("V1v", "V2d", "hV4")
SUBJECTS = ("subj01", "subj02")


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the three methods for the chosen ROIs of the left hemisphere."""
    for roi in rois:
        if roi.hemisphere == "lh" and roi.name in ROIS and roi.subject in SUBJECTS:
            yield Trial(Untuned(), (roi,), BACKBONE, ENCODING)
            yield Trial(
                Regression(learning_rate=2.5e-4, batch_size=64, epochs=10, validation=0.1),
                (roi,),
                BACKBONE,
                ENCODING,
            )
            yield Trial(
                Contrastive(learning_rate=1e-3, batch_size=64, epochs=10, validation=0.1),
                (roi,),
                BACKBONE,
                ENCODING,
            )
