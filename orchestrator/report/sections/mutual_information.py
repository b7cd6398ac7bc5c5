"""The bound on the information that embeddings share with responses."""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from orchestrator.report.sections.plots import dots, roi_rank
from orchestrator.report.sections.section import Column, Picture, Section, of_each

COLUMNS = (
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("nats", "nats", "number"),
    Column("bits", "bits", "number"),
    Column("beta_train", "β", "number"),
    Column("bits_beta_test", "bits, β from test", "number"),
    Column("bits_running", "bits, running statistics", "number"),
    Column("bits_beta_test_running", "bits, running statistics, β from test", "number"),
    Column("ceiling_bits", "ceiling (bits)", "number"),
    Column("n_test", "K", "count"),
)
BOUNDS = {
    "bits": "BatchNorm by the statistics of the batch, β from the training images",
    "bits_beta_test_running": "as the paper's authors evaluate it: BatchNorm by its running "
    "statistics, β from the test images",
}
"""The bounds that are drawn."""


def section(table: pa.Table) -> Section:
    """Show the bounds in bits by ROI and method: ours, and as the paper's authors evaluate it."""
    rows = table.to_pandas()
    return Section(
        name="mutual_information",
        title="Mutual information of images and responses",
        reading=tuple(_read(rows)),
        figures=tuple(_picture(rows, *one) for one in BOUNDS.items()),
        table=rows,
        columns=COLUMNS,
        notes=(
            "β from the training images is ours; β from the test images, the paper's, is "
            "optimistic.",
            "Models were fine-tuned on the training images, where β is too sharp: ours is "
            "conservative.",
            "BatchNorm of the shared head: by the statistics of the batch, of images and of "
            "responses apart, as in training; or by its running statistics (the network in eval "
            "mode, the paper's), which mix both. Both are lower bounds of the same quantity.",
        ),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """State the mean bounds, one sentence per method and group."""
    for label, part in of_each(rows, ("method", "dataset", "group")):
        yield (
            f"{label}: the embeddings share at least {part['bits'].mean():.2f} bits with the "
            f"responses ({part['bits_beta_test'].mean():.2f} with β from the test images; "
            f"{part['bits_running'].mean():.2f} and {part['bits_beta_test_running'].mean():.2f} "
            f"by BatchNorm's running statistics) of at most {part['ceiling_bits'].mean():.2f}; "
            f"means over {len(part)} ROIs of models."
        )


def _picture(rows: pd.DataFrame, bound: str, how: str) -> Picture:
    labelled = rows.assign(label=rows["roi"])
    grouped = labelled.groupby(["label", "method"])[bound]
    sizes = grouped.size()
    means = grouped.agg(bits="mean", low="min", high="max").reset_index()
    order = sorted(dict.fromkeys(means["label"]), key=roi_rank)
    means = means.set_index("label").loc[order].reset_index()
    return Picture(
        dots(means, "bits", "InfoNCE lower bound (bits)", zero=True),
        alt=f"Lower bound on mutual information by ROI and method, {how}, from "
        f"{means['bits'].min():.2f} to {means['bits'].max():.2f} bits.",
        caption=f"InfoNCE lower bound on test images, {how}; the ceiling is log K, "
        f"{rows['ceiling_bits'].min():.1f} to {rows['ceiling_bits'].max():.1f} bits; dots: mean "
        "over subjects, hemispheres and models of an ROI and method "
        f"({sizes.min()} to {sizes.max()}), lines: lowest to highest.",
    )
