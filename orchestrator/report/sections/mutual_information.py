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
    Column("ceiling_bits", "ceiling (bits)", "number"),
    Column("n_test", "K", "count"),
)


def section(table: pa.Table) -> Section:
    """Show the bound in bits by ROI and method, with β from the training images."""
    rows = table.to_pandas()
    return Section(
        name="mutual_information",
        title="Mutual information of images and responses",
        reading=tuple(_read(rows)),
        figures=(_picture(rows),),
        table=rows,
        columns=COLUMNS,
        notes=(
            "β from the training images is ours; β from the test images, the paper's, is "
            "optimistic.",
            "Models were fine-tuned on the training images, where β is too sharp: ours is "
            "conservative.",
        ),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """State the mean bounds, one sentence per method and group."""
    for label, part in of_each(rows, ("method", "dataset", "group")):
        yield (
            f"{label}: the embeddings share at least {part['bits'].mean():.2f} bits with the "
            f"responses ({part['bits_beta_test'].mean():.2f} with β from the test images) of at "
            f"most {part['ceiling_bits'].mean():.2f}; means over {len(part)} ROIs of models."
        )


def _picture(rows: pd.DataFrame) -> Picture:
    labelled = rows.assign(label=rows["roi"])
    grouped = labelled.groupby(["label", "method"])["bits"]
    sizes = grouped.size()
    means = grouped.agg(bits="mean", low="min", high="max").reset_index()
    order = sorted(dict.fromkeys(means["label"]), key=roi_rank)
    means = means.set_index("label").loc[order].reset_index()
    return Picture(
        dots(means, "bits", "InfoNCE lower bound (bits)", zero=True),
        alt="Lower bound on mutual information by ROI and method, from "
        f"{means['bits'].min():.2f} to "
        f"{means['bits'].max():.2f} bits.",
        caption="InfoNCE lower bound on test images, β from training images; the ceiling is log "
        f"K, {rows['ceiling_bits'].min():.1f} to {rows['ceiling_bits'].max():.1f} bits; dots: "
        "mean over subjects, hemispheres and models of an ROI and method "
        f"({sizes.min()} to {sizes.max()}), lines: lowest to highest.",
    )
