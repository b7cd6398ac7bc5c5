"""Gain in brain-fit against classification accuracy, with the Pareto front."""

import pandas as pd
import pyarrow as pa

from orchestrator.report.sections.plots import scatter
from orchestrator.report.sections.section import Column, Picture, Section

COLUMNS = (
    Column("task", "task"),
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("group", "group"),
    Column("accuracy", "accuracy", "share"),
    Column("r", "mean r", "r"),
    Column("gain", "gain over untuned", "difference"),
    Column("is_pareto", "on the front"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show every backbone by accuracy and gain, of the first task and protocol."""
    rows = table.to_pandas()
    first = rows[
        (rows["protocol"] == rows["protocol"].iloc[0]) & (rows["task"] == rows["task"].iloc[0])
    ]
    front = first[first["is_pareto"]]
    return Section(
        name="brain_fit",
        title="Brain-fit against task accuracy",
        reading=_read(first, front),
        figures=(_picture(first, front),),
        table=rows,
        columns=COLUMNS,
    )


def _read(rows: pd.DataFrame, front: pd.DataFrame) -> str:
    finetuned = rows[rows["method"] != "untuned"]
    rank = (
        finetuned["accuracy"].corr(finetuned["gain"], method="spearman")
        if len(finetuned) > 2
        else None
    )
    suffix = "" if rank is None or pd.isna(rank) else f"; their rank correlation is {rank:+.2f}"
    methods = front["method"].value_counts()
    names = ", ".join(f"{n} {name}" for name, n in methods.items())
    return (
        f"Of {len(finetuned)} fine-tuned backbones and the untuned one, "
        f"the Pareto front has {names}{suffix}."
    )


def _picture(rows: pd.DataFrame, front: pd.DataFrame) -> Picture:
    shown = rows.assign(percent=100 * rows["accuracy"])
    return Picture(
        scatter(
            shown,
            ("percent", f"accuracy on {rows['task'].iloc[0]} (%)"),
            ("gain", "gain in mean r over untuned"),
            fronts={
                f"Pareto front, {group}": part
                for group, part in shown[shown["is_pareto"]].groupby("group")
            },
        ),
        alt=f"Scatter of gain in mean r against accuracy over {len(rows)} points; "
        f"{len(front)} are on the Pareto front.",
        caption=f"One point per backbone (n = {len(rows)}): gain in mean Pearson r on the ROIs it "
        f"was fine-tuned on, protocol {rows['protocol'].iloc[0]}, against accuracy. Ringed and "
        "joined: the Pareto front of each group, those that no other backbone surpasses in both.",
    )
