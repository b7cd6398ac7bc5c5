"""The report of a training after each epoch."""

from trainables.spec.fields import Count, Measure
from trainables.spec.records import record


@record
class EpochReport:
    """Loss, speed and retrieval of one epoch of a training."""

    epoch: Count
    """Number of the epoch, counted from 1."""
    loss: Measure
    """Mean training loss over the epoch's images."""
    seconds: Measure
    images_per_second: Measure
    retrieval_top1: Measure | None = None
    """Share of held-out images matched to their own response; None without held-out images."""
    retrieval_median_rank: Measure | None = None
