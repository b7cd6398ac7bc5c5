"""What a training reports after each epoch."""

from trainables.spec.fields import Count, Measure
from trainables.spec.records import record


@record
class EpochReport:
    """What a training says after each epoch."""

    epoch: Count
    """Epochs done, from 1."""
    loss: Measure
    """Mean training loss over the epoch's images."""
    seconds: Measure
    images_per_second: Measure
    retrieval_top1: Measure | None = None
    """Share of held-back images that pick their own response; None when none is held back."""
    retrieval_median_rank: Measure | None = None
