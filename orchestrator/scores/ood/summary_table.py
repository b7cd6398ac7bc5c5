"""Summaries of scores on NSD-synthetic as a table, for files and the report."""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from orchestrator.scores.ood.summaries import OodSummary, Refitted
from orchestrator.scores.table_export import interval_columns

_TEXT, _WHOLE, _NUMBER = pa.string(), pa.int32(), pa.float64()
_NUMBERS: Final = (
    *("r_in", "noise_ceiling_in", "explained_in"),
    *("r", "standard_error", "low", "high", "noise_ceiling", "explained"),
    *("r_refitted", "refitted_standard_error", "refitted_low", "refitted_high"),
    "explained_refitted",
    *("difference", "difference_standard_error", "difference_low", "difference_high"),
)
TABLE_SCHEMA: Final = pa.schema(
    [
        pa.field("by", _TEXT, nullable=False),
        pa.field("row", _TEXT, nullable=False),
        pa.field("is_total", pa.bool_(), nullable=False),
        pa.field("method", _TEXT, nullable=False),
        pa.field("image_class", _TEXT, nullable=False),
        pa.field("n_images", _WHOLE, nullable=False),
        pa.field("n_groups", _WHOLE, nullable=False),
        *(pa.field(name, _NUMBER) for name in _NUMBERS),
        pa.field("interval_over", _TEXT),
        pa.field("covers_subjects", pa.bool_(), nullable=False),
        pa.field("covers_seeds", pa.bool_()),
        pa.field("n_vertices", _WHOLE, nullable=False),
        pa.field("n_rois", _WHOLE, nullable=False),
        pa.field("rois", _TEXT, nullable=False),
        pa.field("n_subjects", _WHOLE, nullable=False),
        pa.field("n_models", _WHOLE, nullable=False),
        pa.field("is_simulated", pa.bool_(), nullable=False),
    ]
)
"""One row per row of ROIs, method and class of images. n_groups: of images that are alike.
rois: ids, separated by spaces."""


def summary_table(summaries: Sequence[OodSummary], by: str, *, is_simulated: bool) -> pa.Table:
    """Tabulate summaries for a file: TABLE_SCHEMA."""
    constants = {"by": by, "is_simulated": is_simulated}
    return pa.Table.from_pylist([constants | _columns(one) for one in summaries], TABLE_SCHEMA)


def _columns(one: OodSummary) -> dict[str, Any]:
    interval = interval_columns(one.difference, one.of_difference)
    kept = ("standard_error", "low", "high")
    return {
        "row": one.row.label,
        "is_total": one.row.is_total,
        "method": one.method,
        "image_class": one.image_class,
        "n_images": one.n_images,
        "n_groups": one.n_groups,
        "r_in": one.r_in,
        "noise_ceiling_in": one.ceiling_in,
        "explained_in": one.explained_in,
        "r": one.r,
        **interval_columns(one.r, one.uncertainty),
        "noise_ceiling": one.ceiling,
        "explained": one.explained,
        **_refitted_columns(one.refitted),
        "difference": one.difference,
        **{f"difference_{name}": interval[name] for name in kept},
        "covers_subjects": one.uncertainty.covers_subjects,
        "covers_seeds": one.uncertainty.covers_seeds,
        "n_vertices": one.n_vertices,
        "n_rois": len(one.rois),
        "rois": " ".join(one.rois),
        "n_subjects": one.n_subjects,
        "n_models": one.n_models,
    }


def _refitted_columns(found: Refitted | None) -> dict[str, Any]:
    if found is None:
        return {}
    interval = interval_columns(found.r, found.uncertainty)
    columns = {f"refitted_{name}": interval[name] for name in ("standard_error", "low", "high")}
    return {"r_refitted": found.r, "explained_refitted": found.explained, **columns}
