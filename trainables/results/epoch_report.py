"""What a training reports after each epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EpochReport:
    """What a training says after each epoch."""

    epoch: int
    """Epochs done, from 1."""
    loss: float
    """Mean training loss over the epoch's images."""
    seconds: float
    images_per_second: float
    retrieval_top1: float | None = None
    """Share of held-back images that pick their own response; None when none is held back."""
    retrieval_median_rank: float | None = None
