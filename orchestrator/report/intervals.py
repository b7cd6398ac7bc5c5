"""What the intervals of the improvement table cover, in words."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from orchestrator.scores.display.interval_notes import describe_intervals
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty


def describe_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Describe what the 95 % intervals of rows of the table cover, or why there are none."""
    found = [_uncertainty(row) for row in rows]
    text = describe_intervals(found)
    return f"95 % {text}." if any(found) else f"{text[:1].upper()}{text[1:]}."


def _uncertainty(row: Mapping[str, Any]) -> Uncertainty | None:
    if pd.isna(row["low"]):
        return None
    seeds = row["covers_seeds"]
    half_width = (row["high"] - row["low"]) / 2
    return Uncertainty(
        half_width, bool(row["covers_subjects"]), None if pd.isna(seeds) else bool(seeds)
    )


def interval_text(low: Any, high: Any) -> str:
    """Write an interval between two numbers; NaN: there is none."""
    return "no interval" if pd.isna(low) else f"{low:+.3f} to {high:+.3f}"
