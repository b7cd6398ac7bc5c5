"""Models of other subjects against untuned, averaged over pairs of a model and a subject."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestrator.scores.rows import Row
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty
from orchestrator.scores.statistics.pair_interval import pairs_uncertainty
from orchestrator.scores.statistics.transfers import Entry, Transfers


@dataclass(frozen=True)
class TransferMean:
    """A method's models on all subjects but their own; means over pairs that untuned scored too."""

    method: str
    row: Row
    mean: float
    untuned: float
    better: float
    """Share of vertices with a higher r than untuned."""
    uncertainty: Uncertainty | None
    """Of the gain; None where predictions of a pair are missing."""
    n_pairs: int

    @property
    def gain(self) -> float:
        """Mean r minus the untuned backbone's."""
        return self.mean - self.untuned

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the gain."""
        if self.uncertainty is None:
            return None
        half = self.uncertainty.half_width
        return self.gain - half, self.gain + half


def mean_transfer(found: Transfers) -> TransferMean | None:
    """Average over the pairs of two subjects; None where untuned scored none of them."""
    entries = [
        one
        for one in found.entries.values()
        if not one.is_own and one.gain is not None and one.better is not None
    ]
    if not entries:
        return None
    known = [one.difference for one in entries if one.difference is not None]
    return TransferMean(
        method=found.method,
        row=found.row,
        mean=_mean(entries, "mean"),
        untuned=_mean(entries, "untuned"),
        better=_mean(entries, "better"),
        uncertainty=pairs_uncertainty(known) if len(known) == len(entries) else None,
        n_pairs=len(entries),
    )


def _mean(entries: Sequence[Entry], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in entries]))
