"""The contrastive trial of every ROI beside its controls: what fine-tuning learns.

python -m orchestrator.sweep controls --data DATA --out RUNS

For every ROI that is no stream, at the settings of `paper`: untuned and contrastive (whose trials
are those of `paper`, and are not repeated), and four controls. Permuted: tuned on the ROI's own
responses, permuted over the training images. Another ROI: tuned on EBA for an early ROI and on V1v
for the others (else on the first of OPA, PPA and V1d that the subject has) of the same hemisphere;
its backbone is that of the other ROI's own contrastive trial, which is trained once. Images alone:
tuned without responses, on two augmented views of each training image (SimCLR); one backbone a
subject. Other heads: of half and of twice the width.

With NSD's eight subjects: 16 trials of a subject (untuned, images alone) and at most 5 x 312 of an
ROI, at up to four times the cost of the contrastive trials of `paper`; `--dry-run` estimates it on
your data. `python -m orchestrator.analyze controls` then says how much of the gain is the brain's.
Expected: there are no published figures. Permuted responses should gain nothing; what another ROI
or the images alone gain is no evidence of what is special to the ROI.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from search_spaces.paper import BACKBONE, ENCODING
from trainables.spec import Backbone, Contrastive, Encoding, Roi, SelfSupervised, Trial, Untuned
from trainables.spec.rois import EARLY, is_only_evaluated, is_overlapping

CONTRASTIVE = Contrastive(learning_rate=1e-4, batch_size=1024, epochs=30, temperature=0.3)
IMAGES_ALONE = SelfSupervised(learning_rate=1e-4, batch_size=1024, epochs=30, temperature=0.3)
WIDTHS = (0.5, 2.0)
"""Widths of the other heads, in widths of the paper's."""
OF_EARLY = ("EBA", "OPA", "PPA")
"""ROIs whose responses an early ROI's control is tuned on: the first that the subject has."""
OF_HIGHER = ("V1v", "V1d")
"""The same of the ROIs that are not early."""


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the untuned and the contrastive trial of every ROI, and its controls."""
    known = {(roi.shard, roi.hemisphere, roi.name): roi for roi in rois}
    for roi in rois:
        if _is_tuned(roi):
            others = OF_EARLY if roi.name in EARLY else OF_HIGHER
            found = [known.get((roi.shard, roi.hemisphere, name)) for name in others]
            other = next((one for one in found if one is not None), None)
            yield from with_controls(roi, other, (CONTRASTIVE, IMAGES_ALONE), BACKBONE, ENCODING)


def with_controls(
    roi: Roi,
    other: Roi | None,
    objectives: tuple[Contrastive, SelfSupervised],
    backbone: Backbone,
    encoding: Encoding,
) -> Iterator[Trial]:
    """Yield an ROI's untuned and contrastive trials and its controls.

    other: the ROI whose responses a control is tuned on; None: there is no such control.
    """
    contrastive, images_alone = objectives
    real = Trial(contrastive, (roi,), backbone, encoding)
    yield replace(real, objective=Untuned())
    yield real
    yield replace(real, permuted=True)
    if other is not None:
        yield replace(real, tuned_on=other)
    yield replace(real, objective=images_alone)
    for width in WIDTHS:
        head = replace(
            contrastive,
            hidden_ratio=width * contrastive.hidden_ratio,
            embedding_ratio=width * contrastive.embedding_ratio,
        )
        yield replace(real, objective=head)


def _is_tuned(roi: Roi) -> bool:
    """Return whether models are tuned on an ROI; one that overlaps others has no other ROI."""
    return not (is_overlapping(roi.name) or is_only_evaluated(roi))


def notes(rois: Sequence[Roi]) -> Iterator[str]:
    """Name the ROIs whose subject has no other ROI to tune a control on."""
    complete = {trial.rois[0].id for trial in trials(rois) if trial.tuned_on is not None}
    chosen = [roi.id for roi in rois if _is_tuned(roi)]
    if without := [name for name in chosen if name not in complete]:
        yield f"no control is tuned on another ROI, where none is chosen: {', '.join(without)}"
