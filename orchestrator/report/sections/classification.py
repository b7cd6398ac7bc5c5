"""What fine-tuning costs in classification accuracy."""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.sections.plots import dots, roi_rank
from orchestrator.report.sections.section import Column, Picture, Section, of_each

COLUMNS = (
    Column("task", "task"),
    Column("method", "method"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("accuracy", "accuracy", "share"),
    Column("accuracy_lost", "loss of accuracy", "share"),
    Column("top5", "top 5", "share"),
    Column("log_loss", "log-loss (nats)", "number"),
    Column("n_test", "test images", "count"),
    Column("backbone", "backbone"),
)


def section(table: pa.Table) -> Section:
    """Show mean accuracy by ROI and method, one figure per task."""
    rows = table.to_pandas()
    return Section(
        name="classification",
        title="Image classification after fine-tuning",
        reading=tuple(_read(rows)),
        figures=tuple(_picture(part, str(task)) for task, part in rows.groupby("task", sort=False)),
        table=rows,
        columns=COLUMNS,
        notes=_notes(rows),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """State mean accuracies, each of one method and group, by task."""
    for task in dict.fromkeys(rows["task"]):
        of_task = rows[rows["task"] == task]
        parts = [
            f"{label} {part['accuracy'].mean():.1%} ({count(len(part), 'backbone')})"
            for label, part in of_each(
                of_task.assign(group=of_task["group"].fillna("no ROI")), ("method", "group")
            )
        ]
        chance = 1 / float(of_task["n_classes"].iloc[0])
        yield (
            f"Mean accuracy on {task} ({of_task['n_test'].iloc[0]:,} test images, chance "
            f"{chance:.1%}): {'; '.join(parts)}."
        ).replace(", no ROI", "")


def _notes(rows: pd.DataFrame) -> tuple[str, ...]:
    unconverged = int((~rows["converged"]).sum())
    return (f"{unconverged} classifiers did not converge.",) if unconverged else ()


def _picture(rows: pd.DataFrame, task: str) -> Picture:
    labelled = rows.assign(label=rows["roi"].fillna("untuned"), accuracy=100 * rows["accuracy"])
    grouped = labelled.groupby(["label", "method"])["accuracy"]
    sizes = grouped.size()
    means = grouped.agg(accuracy="mean", low="min", high="max").reset_index()
    order = sorted(means["label"], key=lambda one: (one != "untuned", roi_rank(one)))
    means = means.set_index("label").loc[list(dict.fromkeys(order))].reset_index()
    return Picture(
        dots(means, "accuracy", f"accuracy on {task} (%)", zero=False),
        alt=f"Accuracy on {task} by ROI and method, from {means['accuracy'].min():.1f} % to "
        f"{means['accuracy'].max():.1f} %.",
        caption=f"Accuracy on {rows['n_test'].iloc[0]:,} test images of {task}, logistic "
        f"regression on frozen {rows['layer'].iloc[0]}; dots: mean over the backbones of an ROI "
        f"and method ({sizes.min()} to {sizes.max()}), lines: lowest to highest.",
    )
