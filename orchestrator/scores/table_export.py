"""The rows of a table of means or of comparisons, with their intervals, for a file."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import pyarrow as pa

from orchestrator.scores.rows import Row
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty
from orchestrator.scores.statistics.share_differences import ShareDifference, share_of_row
from orchestrator.scores.statistics.summaries import Comparison, Summary

_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int32(), pa.float64()
TABLE_SCHEMA: Final = pa.schema(
    [
        pa.field("by", _TEXT, nullable=False),
        pa.field("row", _TEXT, nullable=False),
        pa.field("is_total", pa.bool_(), nullable=False),
        pa.field("protocol", _TEXT, nullable=False),
        pa.field("method", _TEXT, nullable=False),
        pa.field("reference", _TEXT),
        pa.field("r", _NUMBER),
        pa.field("r_reference", _NUMBER),
        pa.field("difference", _NUMBER),
        pa.field("standard_error", _NUMBER),
        pa.field("low", _NUMBER),
        pa.field("high", _NUMBER),
        pa.field("interval_over", _TEXT),
        pa.field("explained_difference", _NUMBER),
        pa.field("explained_standard_error", _NUMBER),
        pa.field("explained_low", _NUMBER),
        pa.field("explained_high", _NUMBER),
        pa.field("seed_sd", _NUMBER),
        pa.field("share_better", _NUMBER),
        pa.field("n_vertices", _WHOLE, nullable=False),
        pa.field("n_rois", _WHOLE, nullable=False),
        pa.field("n_subjects", _WHOLE, nullable=False),
        pa.field("n_seeds", _WHOLE, nullable=False),
        pa.field("is_simulated", pa.bool_(), nullable=False),
    ]
)
"""docs/data.md says what each column means."""


def interval_columns(middle: float | None, known: Uncertainty | None) -> dict[str, Any]:
    """Fill the columns of an interval: standard_error, low, high and interval_over."""
    if middle is None or known is None:
        return dict.fromkeys(("standard_error", "low", "high", "interval_over"))
    return {
        "standard_error": known.standard_error,
        "low": middle - known.half_width,
        "high": middle + known.half_width,
        "interval_over": ", ".join(known.levels),
    }


def comparison_rows(
    comparisons: Iterable[Comparison],
    by: str,
    protocol: str,
    shares: Sequence[ShareDifference] = (),
    *,
    is_simulated: bool,
) -> pa.Table:
    """Tabulate comparisons, with the interval of each difference: TABLE_SCHEMA.

    shares: differences in the share of the explainable variance, where they are known.
    """
    rows = [
        {
            **_place(one.row, by, protocol, is_simulated=is_simulated),
            "method": one.a,
            "reference": one.b,
            "r": one.mean_a,
            "r_reference": one.mean_b,
            "difference": one.difference,
            **interval_columns(one.difference, one.uncertainty),
            **_share_columns(share_of_row(shares, (one.a, one.b), one.row)),
            "share_better": one.share_improved,
            "n_vertices": one.n_pairs,
            "n_rois": len(one.row.rois),
            "n_subjects": len(one.subjects),
            "n_seeds": one.n_seeds[1],
        }
        for one in comparisons
    ]
    return pa.Table.from_pylist(rows, TABLE_SCHEMA)


def summary_rows(
    summaries: Iterable[Summary], by: str, protocol: str, *, is_simulated: bool
) -> pa.Table:
    """Tabulate summaries of methods, with the interval of each mean r: TABLE_SCHEMA."""
    rows = [
        {
            **_place(one.row, by, protocol, is_simulated=is_simulated),
            "method": one.method,
            "r": one.mean,
            **interval_columns(one.mean, one.uncertainty),
            "seed_sd": one.seed_sd,
            "n_vertices": one.n_vertices,
            "n_rois": one.n_rois,
            "n_subjects": one.n_subjects,
            "n_seeds": one.n_seeds[1],
        }
        for one in summaries
    ]
    return pa.Table.from_pylist(rows, TABLE_SCHEMA)


def _share_columns(known: ShareDifference | None) -> dict[str, Any]:
    if known is None:
        return {}
    columns = interval_columns(known.difference, known.uncertainty)
    kept = {f"explained_{name}": columns[name] for name in ("standard_error", "low", "high")}
    return {"explained_difference": known.difference, **kept}


def _place(row: Row, by: str, protocol: str, *, is_simulated: bool) -> dict[str, Any]:
    return {
        "by": by,
        "row": row.label,
        "is_total": row.is_total,
        "protocol": protocol,
        "is_simulated": is_simulated,
    }
