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
    Column("gain", "gain to untuned", "difference"),
    Column("is_pareto", "on the front"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show every trunk by accuracy and gain, of the first task and protocol."""
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
    tuned = rows[rows["method"] != "untuned"]
    rank = tuned["accuracy"].corr(tuned["gain"], method="spearman") if len(tuned) > 2 else None
    told = "" if rank is None or pd.isna(rank) else f"; their rank correlation is {rank:+.2f}"
    methods = front["method"].value_counts()
    names = ", ".join(f"{n} {name}" for name, n in methods.items())
    return f"Of {len(tuned)} tuned trunks and the untuned one, the Pareto front has {names}{told}."


def _picture(rows: pd.DataFrame, front: pd.DataFrame) -> Picture:
    shown = rows.assign(percent=100 * rows["accuracy"])
    return Picture(
        scatter(
            shown,
            ("percent", f"accuracy on {rows['task'].iloc[0]} (%)"),
            ("gain", "gain in mean r to untuned"),
            fronts={
                f"Pareto front, {group}": part
                for group, part in shown[shown["is_pareto"]].groupby("group")
            },
        ),
        alt=f"Scatter of gain in mean r against accuracy over {len(rows)} points; "
        f"{len(front)} are on the Pareto front.",
        caption=f"A point a trunk (n = {len(rows)}): gain in mean Pearson r on the cells it was "
        f"tuned on, protocol {rows['protocol'].iloc[0]}, against accuracy. Ringed and joined: the "
        "Pareto front of each group, which no trunk surpasses in both.",
    )
