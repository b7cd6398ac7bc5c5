"""Gain in brain-fit against classification accuracy, with the Pareto front."""

from collections.abc import Iterator
from typing import Final

import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.sections.plots import scatter
from orchestrator.report.sections.section import Column, Picture, Section, of_each
from orchestrator.scores.rows import method_order
from trainables.spec.labels import method_of

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
    Column("n_rois", "ROIs", "count"),
    Column("is_pareto", "on the front"),
    Column("protocol", "protocol"),
)

LEAST: Final = 5
"""Backbones of a method and group from which on their rank correlation is stated."""


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
        reading=tuple(_read(first)),
        figures=(_picture(first, front),),
        table=rows,
        columns=COLUMNS,
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """Name the Pareto front of each group, and each method's rank correlation within it."""
    for group, part in of_each(rows, ("group",)):
        finetuned = part[part["method"].map(method_of) != "untuned"]
        n_front = part.loc[part["is_pareto"], "method"].value_counts()
        names = ", ".join(f"{n_front[name]} {name}" for name in method_order(n_front.index))
        ranks = [
            f"{method} {one['accuracy'].corr(one['gain'], method='spearman'):+.2f} (n = {len(one)})"
            for method, one in of_each(finetuned, ("method",))
            if len(one) >= LEAST and one["accuracy"].nunique() > 1 and one["gain"].nunique() > 1
        ]
        ranked = f"; rank correlation of accuracy and gain: {', '.join(ranks)}" if ranks else ""
        yield (
            f"{group}, {part['task'].iloc[0]}: of {count(len(finetuned), 'fine-tuned backbone')} "
            f"and the untuned one, the Pareto front has {names}{ranked}."
        )


def _picture(rows: pd.DataFrame, front: pd.DataFrame) -> Picture:
    shown = rows.assign(percent=100 * rows["accuracy"])
    n = rows.loc[rows["method"].map(method_of) != "untuned", "backbone"].nunique()
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
        alt=f"Scatter of gain in mean r against accuracy of {count(n, 'fine-tuned backbone')}; "
        f"{(front['method'] != 'untuned').sum()} of them are on a Pareto front.",
        caption=f"One point per fine-tuned backbone (n = {n}), and one of the untuned one per "
        "group: gain in mean Pearson r on the ROIs it was fine-tuned on, protocol "
        f"{rows['protocol'].iloc[0]}, against accuracy. Ringed and joined: the Pareto front of "
        "each group, those that no other backbone surpasses in both.",
    )
