"""Variance that fine-tuned and untuned features explain alone and in common, by group of ROIs."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestrator.report.intervals import describe_rows, interval_text
from orchestrator.report.sections.plots import dots
from orchestrator.report.sections.section import Column, Picture, Section, is_total

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
)


def section(table: pa.Table) -> Section:
    """Show the parts of the variance of each setting."""
    rows = table.to_pandas()
    protocols = [part for _, part in rows.groupby("protocol", sort=False)]
    return Section(
        name="variance",
        title="Unique and shared variance",
        reading=tuple(_read(rows)),
        figures=tuple(_picture(part) for part in protocols),
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
    """Say what each adds to the other in each group, without the totals of groups."""
    several = rows["protocol"].nunique() > 1
    for one in rows[~rows["row"].map(is_total)].itertuples():
        where = f", protocol {one.protocol}" if several else ""
        yield (
            f"In {one.row} ROIs{where}, {one.method} adds {one.unique_tuned:+.3f} "
            f"({interval_text(one.unique_tuned_low, one.unique_tuned_high)}) to the "
            f"{one.r2_untuned:.3f} of the variance that untuned features explain, and these add "
            f"{one.unique_untuned:+.3f} "
            f"({interval_text(one.unique_untuned_low, one.unique_untuned_high)}) to its own "
            f"{one.r2_tuned:.3f}. With all layers the gain in mean r is {one.gain:+.3f} "
            f"({interval_text(one.gain_low, one.gain_high)})."
        )


def _picture(rows: pd.DataFrame) -> Picture:
    """Draw what each setting adds to untuned features, by group of ROIs."""
    ends = {"unique_tuned_low": "low", "unique_tuned_high": "high"}
    drawn = rows.rename(columns=ends).assign(label=rows["row"])
    covered: list[Any] = drawn.to_dict("records")
    return Picture(
        dots(drawn, "unique_tuned", "variance unique to fine-tuned features (R²)", zero=True),
        alt="Variance that fine-tuned features explain beside untuned ones, by group of ROIs: "
        + "; ".join(
            f"{one.row}, {one.method} {one.unique_tuned:+.3f}" for one in drawn.itertuples()
        )
        + ".",
        caption="Share of the variance of responses to test images that fine-tuned features "
        "explain beside untuned ones: R² of both minus R² of untuned, all layers, protocol "
        f"{rows['protocol'].iloc[0]}. {describe_rows(covered)}",
    )
