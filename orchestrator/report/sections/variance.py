"""Variance that fine-tuned and untuned features explain alone and in common, by group of ROIs."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestrator.report.intervals import describe_rows, interval_text
from orchestrator.report.sections.plots import dots
from orchestrator.report.sections.section import Column, Picture, Section, is_total

PARTS = {
    "unique_tuned": "unique to fine-tuned",
    "unique_untuned": "unique to untuned",
    "shared": "shared",
}
COLUMNS = (
    Column("method", "method"),
    Column("row", "ROIs"),
    Column("r2_untuned", "untuned R²", "r"),
    Column("r2_tuned", "tuned R²", "r"),
    Column("r2_joint", "R² of both", "r"),
    Column("unique_tuned", "unique to tuned", "difference"),
    Column("unique_tuned_low", "low", "difference"),
    Column("unique_tuned_high", "high", "difference"),
    Column("unique_untuned", "unique to untuned", "difference"),
    Column("shared", "shared", "difference"),
    Column("gain", "gain in r", "difference"),
    Column("banded_gain", "gain, banded", "difference"),
    Column("n_vertices", "vertices", "count"),
    Column("n_rois", "number of ROIs", "count"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show the parts of the variance of each setting."""
    rows = table.to_pandas()
    settings = [part for _, part in rows.groupby(["protocol", "method"], sort=False)]
    return Section(
        name="variance",
        title="Unique and shared variance",
        reading=tuple(line for part in settings for line in _read(part)),
        figures=tuple(_picture(part) for part in settings),
        table=rows,
        columns=COLUMNS,
        notes=(
            "R² is 1 − Σ(y − ŷ)² / Σ(y − ȳ)² over test images, from ridge regression on all layers "
            "at once; that of both backbones has a penalty for each. Penalties are chosen within "
            "the training images. Unique to fine-tuned: R² of both minus that of untuned.",
            "A part below 0 is no error: where a backbone adds nothing, R² of both is on average a "
            "little lower, since more penalties are chosen from. Nothing is clipped.",
        ),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """Say what is unique and what is shared in each group, without the totals of groups."""
    for one in rows[~rows["row"].map(is_total)].itertuples():
        yield (
            f"In {one.row} ROIs {one.method} features explain {one.unique_tuned:+.3f} of the "
            f"variance beside untuned ones "
            f"({interval_text(one.unique_tuned_low, one.unique_tuned_high)}), untuned ones "
            f"{one.unique_untuned:+.3f} beside them "
            f"({interval_text(one.unique_untuned_low, one.unique_untuned_high)}); both share "
            f"{one.shared:+.3f}. With all layers concatenated the gain in mean r is "
            f"{one.gain:+.3f} ({interval_text(one.gain_low, one.gain_high)}), with a penalty per "
            f"layer {one.banded_gain:+.3f} "
            f"({interval_text(one.banded_gain_low, one.banded_gain_high)})."
        )


def _picture(rows: pd.DataFrame) -> Picture:
    drawn = pd.concat(
        pd.DataFrame(
            {
                "label": rows["row"],
                "method": label,
                "value": rows[name],
                "low": rows[f"{name}_low"],
                "high": rows[f"{name}_high"],
            }
        )
        for name, label in PARTS.items()
    )
    first = rows.iloc[0]
    covered: list[Any] = rows.assign(low=rows["shared_low"], high=rows["shared_high"]).to_dict(
        "records"
    )
    return Picture(
        dots(drawn, "value", "share of the variance (R²)", zero=True),
        alt=f"Parts of the variance that {first['method']} and untuned features explain: "
        + "; ".join(f"{one.label}, {one.method} {one.value:+.3f}" for one in drawn.itertuples())
        + ".",
        caption=f"Parts of the variance of responses to test images, {first['method']} and "
        f"untuned, protocol {first['protocol']}. " + describe_rows(covered),
    )
