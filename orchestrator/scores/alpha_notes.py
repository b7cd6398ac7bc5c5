"""Notes under a table of scores: which alphas were chosen at an end of their grid."""

from collections import Counter
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.scores.score_table import ScoreTable

NOTABLE: Final = 0.2
"""Share of a method's vertices at an end of the grid from which a note is made."""
ENDS: Final = ("smallest", "largest")


def alpha_notes(table: ScoreTable) -> list[str]:
    """Name the methods of which many vertices chose the smallest or the largest alpha.

    A better alpha may lie beyond. The largest is also what responses without signal choose. The
    alphas are those of the chosen layer; vertices without an r have none.
    """
    counts = _count(table)
    notes = []
    for (method, protocol, end), found in counts.items():
        share = found["at_end"] / found["n"] if found["n"] else 0.0
        if share >= NOTABLE:
            name, alpha = end
            notes.append(
                f"{method}, protocol {protocol}: {share:.0%} of vertices chose the {name} alpha of "
                f"the grid, {alpha:g}; a better one may lie beyond (Encoding.alphas)"
            )
    return notes


Counts = dict[tuple[str, str, tuple[str, float]], Counter[str]]


def _count(table: ScoreTable) -> Counts:
    """Count, for each method, protocol and end, the vertices there and all with an alpha."""
    counts: Counts = {}
    ordered = _in_file_order(table.segments)
    columns = ordered[["trial_id", "method", "protocol"]].astype(str)
    places = columns.itertuples(index=False, name=None)
    for (trial_id, method, protocol), read in zip(places, table.read(["alpha"]), strict=True):
        encoding = table.trials[trial_id].encoding
        chosen = read["alpha"].drop_null().to_numpy()
        if encoding is None or len(encoding.alphas) < 2:
            continue
        for name, end in zip(ENDS, (encoding.alphas[0], encoding.alphas[-1]), strict=True):
            found = counts.setdefault((method, protocol, (name, end)), Counter())
            found["at_end"] += int(np.sum(chosen == end))
            found["n"] += len(chosen)
    return counts


def _in_file_order(segments: pd.DataFrame) -> pd.DataFrame:
    """Order segments as ScoreTable.read yields them: file after file."""
    parts: list[Any] = [part for _, part in segments.groupby("file", sort=False)]
    return pd.concat(parts) if parts else segments
