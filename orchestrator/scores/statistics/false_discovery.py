"""Correcting p-values for how many there are."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values by Benjamini and Hochberg (1995).

    Of those with q ≤ 5 %, 5 % are expected to be false discoveries, at most. None and NaN stand
    for no test: they stay, as None, and count for nothing.
    """
    found = np.array([np.nan if p is None else p for p in p_values], dtype=np.float64)
    tested = ~np.isnan(found)
    if tested.any():
        found[tested] = false_discovery_control(found[tested], method="bh")
    return [float(q) if is_tested else None for q, is_tested in zip(found, tested, strict=True)]
