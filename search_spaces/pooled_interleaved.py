"""The trials of `pooled`, with the subjects' batches of an epoch in random order (ours).

python -m orchestrator.sweep pooled_interleaved --data DATA --out RUNS

Each batch still has one subject's images. Their order is drawn from the seed, each subject in
proportion to its number of batches. At most 96 pooled trials with NSD's eight subjects, at the cost
of `pooled`, whose untuned and contrastive trials these share. Expected: there is no published
figure. Compare with `pooled` by `--trial`, since both orders have the same method names. In the
paper's order the last subject has the most weight; here none does.
"""

from collections.abc import Iterator, Sequence

from search_spaces.pooled import notes, pooled_trials
from trainables.spec import Roi, Trial

__all__ = ["notes", "trials"]


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the pooled trials with interleaved subjects, and the trials they are compared with."""
    yield from pooled_trials(rois, "interleaved")
