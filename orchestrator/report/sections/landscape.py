"""A map of the backbones by how they classify."""

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa

from orchestrator.cli.text import count
from orchestrator.report.sections.landscape_map import REFERENCES, draw_map
from orchestrator.report.sections.section import Column, Picture, Section, of_each

COLUMNS = (
    Column("task", "task"),
    Column("method", "method"),
    Column("model_group", "group"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("accuracy", "accuracy", "share"),
    Column("to_untuned", "distance from untuned (nats)", "number"),
    Column("to_oracle", "distance from oracle (nats)", "number"),
    Column("axis_1", "axis 1", "number"),
    Column("axis_2", "axis 2", "number"),
)


def section(table: pa.Table) -> Section:
    """Show the first two axes of each task's landscape."""
    rows = table.to_pandas()
    for axis in (0, 1):
        rows[f"axis_{axis + 1}"] = [
            one[axis] if len(one) > axis else 0.0 for one in rows["coordinates"]
        ]
    plain = rows.drop(columns=["coordinates", "signs", "eigenvalues", "stress", "dissimilarities"])
    return Section(
        name="landscape",
        title="The landscape of models",
        reading=tuple(_read(rows)),
        figures=tuple(_picture(part, str(task)) for task, part in rows.groupby("task", sort=False)),
        table=plain,
        columns=COLUMNS,
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """State mean dissimilarities to untuned, each of one method and group, by task."""
    for task in dict.fromkeys(rows["task"]):
        of_task = rows[rows["task"] == task]
        finetuned = of_task[of_task["group"].notna()].dropna(subset=["to_untuned"])
        parts = [
            f"{label} {part['to_untuned'].mean():.3f} ({count(len(part), 'backbone')})"
            for label, part in of_each(finetuned, ("method", "group"))
        ]
        stress = of_task["stress"].iloc[0]
        yield (
            f"Mean Bhattacharyya dissimilarity to the untuned backbone on {task}, in nats per "
            f"image: {'; '.join(parts) or 'not available'}; two axes explain "
            f"{stress[min(1, len(stress) - 1)]:.0%} of the stress."
        )


def _picture(rows: pd.DataFrame, task: str) -> Picture:
    signs, stress = rows["signs"].iloc[0], rows["stress"].iloc[0]
    backbones = count(int((~rows["method"].isin(REFERENCES)).sum()), "backbone")
    names = [
        f"axis {k + 1} ({'imaginary' if len(signs) > k and signs[k] < 0 else 'real'})"
        for k in (0, 1)
    ]
    return Picture(
        draw_map(rows, (names[0], names[1])),
        alt=f"Map of {backbones} by how they classify {task}, by intensive PCA, with the oracle "
        "and chance; colour: accuracy, shape: group of ROIs.",
        caption=f"Intensive PCA of Bhattacharyya dissimilarities (√nats) of {backbones} and the "
        f"oracle, which is always right, on {task}; chance (all classes alike) is placed on their "
        "axes. Colour: accuracy; shape: the ROIs that a backbone was fine-tuned on; edge: method. "
        f"Explained stress of one axis {stress[0]:.0%}, of two "
        f"{stress[min(1, len(stress) - 1)]:.0%}.",
    )
