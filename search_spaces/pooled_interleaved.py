"""The trials of `pooled`, but an epoch takes the subjects' batches in random turns (ours).

python -m orchestrator.sweep pooled_interleaved --data DATA --out RUNS

Each batch still holds one subject's images; its turn is drawn from the seed, in proportion to the
batches that each subject has. At most 96 pooled trials with NSD's eight subjects, and the cost of
`pooled`, whose untuned and contrastive trials these share. Expected: no published figure; compare
with `pooled` by `--trial`, since both orders carry the same method names. Where the paper's order
lets the subject that comes last weigh most, this one does not.
"""

from collections.abc import Iterator, Sequence

from search_spaces.pooled import notes, pooled_trials
from trainables.spec import Roi, Trial

__all__ = ["notes", "trials"]


def trials(rois: Sequence[Roi]) -> Iterator[Trial]:
    """Yield the pooled trials with interleaved subjects, and what they are compared with."""
    yield from pooled_trials(rois, "interleaved")
