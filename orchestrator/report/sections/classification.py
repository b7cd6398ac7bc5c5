"""What fine-tuning costs in classification accuracy."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.model_groups import MODEL_GROUPS
from orchestrator.cli.text import count
from orchestrator.report.sections.plots import dots, roi_rank
from orchestrator.report.sections.section import Column, Picture, Section
from orchestrator.scores.rows import method_order
from orchestrator.scores.statistics.hierarchical_interval import FEWEST_SUBJECTS

COLUMNS = (
    Column("level", "level"),
    Column("task", "task"),
    Column("method", "method"),
    Column("model_group", "group"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("accuracy", "accuracy", "share"),
    Column("difference", "difference from untuned", "difference"),
    Column("low", "low", "difference"),
    Column("high", "high", "difference"),
    Column("top5", "top 5", "share"),
    Column("log_loss", "log-loss (nats)", "number"),
    Column("n_backbones", "backbones", "count"),
)


def section(table: pa.Table) -> Section:
    """Show accuracy by the paper's groups against untuned, then by ROI, for each task."""
    rows = table.to_pandas()
    figures = []
    for task, part in rows.groupby("task", sort=False):
        groups = part[part["level"] == "group"]
        if groups["difference"].notna().any():
            figures.append(_groups(groups, str(task)))
        figures.append(_by_roi(part[part["level"] == "backbone"], str(task)))
    return Section(
        name="classification",
        title="Image classification after fine-tuning",
        reading=tuple(_read(rows)),
        figures=tuple(figures),
        table=rows,
        columns=COLUMNS,
        notes=_notes(rows),
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """State each method's change from untuned in each group, by task."""
    for task in dict.fromkeys(rows["task"]):
        of_task = rows[rows["task"] == task]
        chance = 1 / float(of_task["n_classes"].iloc[0])
        untuned = of_task[(of_task["level"] == "backbone") & of_task["model_group"].isna()]
        accuracies = ", ".join(f"{one:.1%}" for one in untuned["accuracy"])
        yield (
            f"Accuracy of the untuned backbone on {task} ({of_task['n_test'].iloc[0]:,} test "
            f"images, chance {chance:.1%}): {accuracies or 'not measured'}."
        )
        groups = of_task[of_task["level"] == "group"]
        for method in method_order(groups["method"]):
            parts = "; ".join(_change(one) for one in _ordered(groups, method))
            yield f"{method} on {task}: {parts}."


def _ordered(groups: pd.DataFrame, method: str) -> list[Any]:
    of_method = groups[groups["method"] == method]
    return sorted(of_method.itertuples(), key=lambda one: MODEL_GROUPS.index(one.model_group))


def _change(one: Any) -> str:
    of = f"{count(one.n_backbones, 'backbone')} of {count(int(one.n_subjects), 'subject')}"
    if pd.isna(one.difference):
        return f"{one.model_group} {one.accuracy:.1%} ({of})"
    interval = (
        "no interval" if pd.isna(one.low) else f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    )
    return (
        f"{one.model_group} {one.accuracy:.1%}, {100 * one.difference:+.1f} percentage points "
        f"({interval}; {of})"
    )


def _groups(groups: pd.DataFrame, task: str) -> Picture:
    """Draw the difference from untuned of each method and group, with its interval."""
    ordered = [one for method in method_order(groups["method"]) for one in _ordered(groups, method)]
    shown = pd.DataFrame(
        {
            "label": [one.model_group for one in ordered],
            "method": [one.method for one in ordered],
            **{
                name: [100 * getattr(one, name) for one in ordered]
                for name in ("difference", "low", "high")
            },
        }
    )
    rank = shown["label"].map(MODEL_GROUPS.index)
    shown = shown.loc[rank.sort_values(kind="stable").index]
    label = f"accuracy on {task}, difference from untuned (percentage points)"
    return Picture(
        dots(shown, "difference", label, zero=True),
        alt=f"Difference in accuracy on {task} from untuned by group and method, from "
        f"{shown['difference'].min():+.1f} to {shown['difference'].max():+.1f} percentage points.",
        caption=f"Accuracy on {groups['n_test'].iloc[0]:,} test images of {task} minus the untuned "
        "backbone's, mean over the backbones of a subject and group, then over subjects. "
        f"{_coverage(groups)}",
    )


def _coverage(groups: pd.DataFrame) -> str:
    """Say what the bars cover."""
    known = groups.dropna(subset=["low"])
    if known.empty:
        return "No interval is possible."
    subjects, seeds = (
        known[name].dropna().astype(bool) for name in ("covers_subjects", "covers_seeds")
    )
    over = ["subjects"] if subjects.all() else []
    over += ["seeds of the fine-tuning"] if len(seeds) and seeds.all() else []
    text = f"Bars: 95 % interval over {', '.join([*over, 'test images'])}"
    if not subjects.all():
        some = f"over subjects only in groups of {FEWEST_SUBJECTS} or more"
        none = f"subjects are taken as they are, being fewer than {FEWEST_SUBJECTS}"
        text += f"; {some if subjects.any() else none}"
    return f"{text}."


def _notes(rows: pd.DataFrame) -> tuple[str, ...]:
    of_backbones = rows.loc[rows["level"] == "backbone", "converged"]
    unconverged = int((~of_backbones.astype(bool)).sum())
    return (f"{unconverged} classifiers did not converge.",) if unconverged else ()


def _by_roi(rows: pd.DataFrame, task: str) -> Picture:
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
