"""The controls of a contrastive trial, on two simulated ROIs.

python -m orchestrator.sweep controls_demo --data demo/data --out demo/runs \
    --weights demo/weights.safetensors

Run `python -m orchestrator.sweep` first, which makes the data. V1v and hV4 of subject 1, left
hemisphere, at the settings of `demo`: untuned, contrastive and the controls of `controls`, where
each of the two ROIs is the other's other ROI: 12 trials, of which `demo` has already run four;
`--dry-run` estimates the time of the others.
Expected: tuned on permuted responses the backbone predicts no better than untuned.
"""

from collections.abc import Iterator, Sequence

from search_spaces.controls import with_controls
from search_spaces.demo import BACKBONE, CONTRASTIVE, EASY, ENCODING, HARD
from trainables.spec import Roi, SelfSupervised, Trial

IMAGES_ALONE = SelfSupervised(learning_rate=1e-3, batch_size=64, epochs=8, validation=0.1)


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the trials of the two ROIs of the first subject's left hemisphere."""
    chosen = [
        roi
        for roi in rois
        if (roi.subject, roi.hemisphere) == ("subj01", "lh") and roi.name in (EASY, HARD)
    ]
    for roi in chosen:
        other = next((one for one in chosen if one != roi), None)
        yield from with_controls(roi, other, (CONTRASTIVE, IMAGES_ALONE), BACKBONE, ENCODING)
