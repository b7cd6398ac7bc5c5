"""Fine-tuning on simulated subjects where its gain was planted, where not, and its control.

python -m orchestrator.sweep

V1v of the simulation is energy, which the backbone's first layer predicts; hV4 responds to curves
of texture edges, which no single layer of filters gives (docs/method-simulation.md). Of 2 subjects,
the left hemisphere, each ROI: untuned, regression, and contrastive with two seeds; of hV4 also a
third seed, the control that is tuned on permuted responses, and one pooled backbone for both
subjects: 19 trials, about 90 seconds on two CPU cores. Expected: contrastive predicts hV4 better
than untuned, by 0.06, and the permuted control no better.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from trainables.spec import (
    FROM_FILE,
    Backbone,
    Contrastive,
    Encoding,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
)

BACKBONE = Backbone("narrow-alexnet", FROM_FILE)
ENCODING = Encoding(protocols=("nested", "paper"))
EASY, HARD = "V1v", "hV4"
"""The ROI that one layer of filters predicts, and the one that it does not."""
SUBJECTS = ("subj01", "subj02")
SEEDS = {EASY: 2, HARD: 3}
"""Of contrastive. The interval over two seeds is wide: a third one shows that a gain is there."""
CONTRASTIVE = Contrastive(learning_rate=2e-3, batch_size=64, epochs=10, validation=0.1)
REGRESSION = Regression(learning_rate=1e-4, batch_size=64, epochs=8, validation=0.1)
POOLED = Pooled(learning_rate=1e-3, batch_size=64, epochs=8, validation=0.1)


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the trials of the two ROIs of the left hemisphere."""
    hard = [roi for roi in rois if _is_shown(roi) and roi.name == HARD]
    if len(hard) > 1:
        yield Trial(POOLED, tuple(hard), BACKBONE, ENCODING)
    for roi in rois:
        if _is_shown(roi):
            contrastive = Trial(CONTRASTIVE, (roi,), BACKBONE, ENCODING)
            yield from contrastive.repeated(seeds=SEEDS[roi.name])
            yield replace(contrastive, objective=REGRESSION)
            yield replace(contrastive, objective=Untuned())
            if roi.name == HARD:
                yield replace(contrastive, permuted=True)


def _is_shown(roi: Roi) -> bool:
    return roi.hemisphere == "lh" and roi.name in (EASY, HARD) and roi.subject in SUBJECTS
