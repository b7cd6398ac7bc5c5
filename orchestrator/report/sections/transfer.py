"""Transfer between subjects, as matrices."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestrator.analyze.questions.transfer import MEAN
from orchestrator.cli.text import count
from orchestrator.report.intervals import describe_rows, interval_text
from orchestrator.report.sections.section import Column, Section, is_total, of_each
from orchestrator.report.sections.transfer_blocks import block_picture

COLUMNS = (
    Column("method", "method"),
    Column("level", "level"),
    Column("row", "row"),
    Column("hemisphere", "hemisphere"),
    Column("model", "fine-tuned on"),
    Column("subject", "subject"),
    Column("r", "mean r", "r"),
    Column("r_untuned", "untuned r", "r"),
    Column("gain", "difference", "difference"),
    Column("low", "low", "difference"),
    Column("high", "high", "difference"),
    Column("r_own", "r of own model", "r"),
    Column("share_better", "vertices better", "share"),
    Column("n_rois", "ROIs", "count"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show the matrices of each method's groups, of the first protocol, over both hemispheres."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    both = first[first["hemisphere"] == "both"]
    shown, means = both[both["level"] == "group"], both[both["level"] == MEAN]
    groups = shown[~shown["row"].map(is_total)]
    of_protocol = f"protocol {rows['protocol'].iloc[0]}"
    return Section(
        name="transfer",
        title="Transfer between subjects",
        reading=tuple(_read(shown, means)),
        figures=tuple(
            block_picture(label, part, of_protocol)
            for label, part in of_each(groups, ("method", "dataset"))
        ),
        table=rows,
        columns=COLUMNS,
        notes=_notes(shown, means.to_dict("records")),
    )


def _read(rows: pd.DataFrame, means: pd.DataFrame) -> Iterator[str]:
    """Say how models of other subjects do, one sentence per method and group; totals mix groups.

    means: over the pairs of each group, with intervals.
    """
    keys = ("method", "dataset", "row")
    over_pairs = {values: part.iloc[0] for values, part in means.groupby(list(keys))}
    for label, part in of_each(rows[~rows["row"].map(is_total)], keys):
        other = part[~part["is_own"]].dropna(subset=["gain"])
        if other.empty:
            yield f"{label}: no pair of subjects has untuned scores to compare with."
            continue
        mean = over_pairs[tuple(part.iloc[0][list(keys)])]
        yield (
            f"{label}: models of other subjects change mean r by {mean['gain']:+.3f} from "
            f"untuned on the same ROIs (mean over {count(len(other), 'pair')}; "
            f"{interval_text(mean['low'], mean['high'])}; "
            f"{mean['share_better']:.0%} of vertices better){_own(other)}."
        )


def _own(other: pd.DataFrame) -> str:
    """Compare with the targets' own models, on the same ROIs of the same pairs."""
    paired = other.dropna(subset=["r_own"])
    if paired.empty:
        return ""
    own = (paired["r_own"] - paired["r_untuned"]).mean()
    if len(paired) == len(other):
        return f"; the targets' own models change it by {own:+.3f} there"
    return (
        f"; in the {len(paired)} of these pairs whose target has its own models of all ROIs, they "
        f"change it by {own:+.3f}, and those of other subjects by {paired['gain'].mean():+.3f}"
    )


def _notes(rows: pd.DataFrame, means: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    return (*_left_out(rows), f"Means over pairs. {describe_rows(means)}")


def _left_out(rows: pd.DataFrame) -> tuple[str, ...]:
    left_out = int(rows["n_without_untuned"].max()) if len(rows) else 0
    same = "r, untuned r and their difference are over the ROIs and vertices that a pair shares"
    if not left_out:
        return (f"{same}; pairs differ in their ROIs.",)
    return (f"{same}; ROIs without untuned scores are left out, at most {left_out} of a pair.",)
