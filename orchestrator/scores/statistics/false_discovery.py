"""Correction of p-values for multiple comparisons."""

from collections.abc import Sequence

import numpy as np


def adjust(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjust p-values by Benjamini and Hochberg (1995).

    At most 5 % of those with q ≤ 5 % are expected to be false discoveries. None and NaN mean no
    test: they are returned as None and do not count.
    """
    from scipy.stats import false_discovery_control  # 1 s, which most commands don't need

    found = np.array([np.nan if p is None else p for p in p_values], dtype=np.float64)
    tested = ~np.isnan(found)
    if tested.any():
        found[tested] = false_discovery_control(found[tested], method="bh")
    return [float(q) if is_tested else None for q, is_tested in zip(found, tested, strict=True)]


def adjust_families(
    p_values: Sequence[float | None], families: Sequence[str]
) -> list[float | None]:
    """Adjust p-values as `adjust`, those of each family alone.

    families: of each p-value, the name of its family.
    """
    found: list[float | None] = [None] * len(p_values)
    for family in dict.fromkeys(families):
        places = [place for place, name in enumerate(families) if name == family]
        for place, q in zip(places, adjust([p_values[k] for k in places]), strict=True):
            found[place] = q
    return found
