"""One backbone for all subjects that have an ROI, beside one per subject (arXiv 2410.06067).

python -m orchestrator.sweep pooled --data DATA --out RUNS

For each hemisphere and ROI (streams left out) that at least two subjects have: `pooled-avg`, whose
head is as wide as the subjects' mean number of vertices, and `pooled-const`, 5,741 wide. An epoch
visits the subjects one after another, as in the paper; `pooled_interleaved` has the same trials
with the subjects' batches in random order, which are other trainings with other ids. In addition
there are the untuned and contrastive trials of the same ROIs. They have the ids of those of
`paper`, so trials that `paper` has finished are not repeated.

With NSD's eight subjects: at most 96 pooled trials (two for each hemisphere's 24 ROIs), each about
eight times the work of a contrastive one, 8 untuned trials and at most 312 contrastive ones;
`--dry-run` estimates the cost on your data. Expected under `paper`, on data ingested with
`--split paper`: mean r over the early ROIs .386 untuned, .416 contrastive, .428 pooled-avg, .428
pooled-const; over the higher ones .355, .368, .368, .369. Under that split a pooled backbone may
have been trained on an image that is another subject's test image; under `--split stimulus` not.
"""

from collections.abc import Iterator, Sequence

from search_spaces.paper import BACKBONE, ENCODING, OBJECTIVES
from trainables.spec import LARGEST_ROI, MEAN, Order, Pooled, Regression, Roi, Trial
from trainables.spec.rois import STREAMS, is_only_evaluated

COMPARED = tuple(one for one in OBJECTIVES if not isinstance(one, Regression))


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the pooled trials in the paper's order, and the trials they are compared with."""
    yield from pooled_trials(rois, "sequential")


def pooled_trials(rois: Sequence[Roi], order: Order) -> Iterator[Trial]:
    """Yield the pooled trials of an order, and the untuned and contrastive ones of their ROIs."""
    for alike in by_region(rois):
        if len(alike) > 1:
            for hidden_dim in (MEAN, LARGEST_ROI):
                objective = Pooled(
                    learning_rate=1e-4,
                    batch_size=1024,
                    epochs=30,
                    temperature=0.3,
                    hidden_dim=hidden_dim,
                    order=order,
                )
                yield Trial(objective, alike, BACKBONE, ENCODING)
            for roi in alike:
                for compared in COMPARED:
                    yield Trial(compared, (roi,), BACKBONE, ENCODING)


def notes(rois: Sequence[Roi]) -> Iterator[str]:
    """Name the ROIs that only one subject has, which cannot be pooled."""
    single = [alike[0].id for alike in by_region(rois) if len(alike) == 1]
    if single:
        yield f"no pooled trial where only one subject has the ROI: {', '.join(single)}"


def by_region(rois: Sequence[Roi]) -> list[tuple[Roi, ...]]:
    """Group ROIs, streams and NOD's left out, by hemisphere and name, subjects in order."""
    regions: dict[tuple[str, str, str], list[Roi]] = {}
    for roi in rois:
        if roi.name not in STREAMS and not is_only_evaluated(roi):
            regions.setdefault((roi.dataset, roi.hemisphere, roi.name), []).append(roi)
    return [tuple(alike) for alike in regions.values()]
