"""The widths of the projection heads, from the objective and the number of vertices."""

from collections.abc import Sequence
from math import floor
from statistics import fmean
from typing import Final

from trainables.spec import MEAN, Contrastive, Pooled

MIN_WIDTH: Final = 2
"""Floor of both head widths: in one dimension a cosine is only a sign."""


def head_widths(objective: Contrastive, n_vertices: int) -> tuple[int, int]:
    """Return a head's widths: h and z, shares of the ROI's vertices, at least MIN_WIDTH."""
    return (
        max(MIN_WIDTH, floor(objective.hidden_ratio * n_vertices)),
        max(MIN_WIDTH, floor(objective.embedding_ratio * n_vertices)),
    )


def pooled_widths(objective: Pooled, n_vertices: Sequence[int]) -> tuple[int, int]:
    """Return the widths of a pooled head: h, the mean or the constant, and z = ⌊h/4⌋.

    n_vertices: of each subject's ROI. Both are at least MIN_WIDTH.
    """
    wanted = floor(fmean(n_vertices)) if objective.hidden_dim == MEAN else objective.hidden_dim
    hidden = max(MIN_WIDTH, int(wanted))
    return hidden, max(MIN_WIDTH, hidden // 4)
