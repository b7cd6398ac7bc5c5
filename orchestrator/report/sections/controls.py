"""The gain of fine-tuning beside that of its controls, by group of ROIs."""

import pandas as pd
import pyarrow as pa

from orchestrator.report.intervals import interval_text
from orchestrator.report.sections.plots import dots
from orchestrator.report.sections.section import Column, Picture, Section

PERMUTED = "permuted responses"
COLUMNS = (
    Column("method", "method"),
    Column("control", "control"),
    Column("row", "ROIs"),
    Column("r_untuned", "untuned r", "r"),
    Column("r_control", "control r", "r"),
    Column("r", "fine-tuned r", "r"),
    Column("gain", "gain", "difference"),
    Column("control_gain", "control's gain", "difference"),
    Column("difference", "gain beyond control", "difference"),
    Column("difference_low", "low", "difference"),
    Column("difference_high", "high", "difference"),
    Column("share", "share of the gain", "share"),
    Column("n_vertices", "vertices", "count"),
    Column("n_rois", "number of ROIs", "count"),
    Column("setting", "setting"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show the gains over untuned of the first protocol, and what is beyond each control's."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    settings = [part for _, part in first.groupby(["method", "setting"], sort=False)]
    return Section(
        name="controls",
        title="Controls of fine-tuning",
        reading=tuple(line for part in settings for line in _read(part)),
        figures=tuple(_picture(part) for part in settings),
        table=rows,
        columns=COLUMNS,
        notes=(
            "Each row is over the vertices that untuned, control and fine-tuned trial all have; "
            "controls of different ROIs are therefore not compared with each other.",
            "Only permuted responses keep everything but which image a response belongs to: what "
            "is beyond them is the brain's. A share is given where the gain's interval is above 0; "
            "it is above 100 % where the control predicts worse than untuned.",
        ),
    )


def _read(rows: pd.DataFrame) -> list[str]:
    """Say what is beyond the permuted control in each group, without the totals of groups."""
    method = rows["method"].iloc[0]
    found = rows[(rows["control"] == PERMUTED) & ~rows["row"].str.endswith("all")]
    if found.empty:
        return [f"{method} has no control of permuted responses, so no part of its gain is named."]
    return [
        f"In {one.row} ROIs {method} gains {one.gain:+.3f} in mean r over untuned, and "
        f"{one.control_gain:+.3f} if responses are permuted: a difference of "
        f"{one.difference:+.3f} ({interval_text(one.difference_low, one.difference_high)})."
        for one in found.itertuples()
    ]


def _picture(rows: pd.DataFrame) -> Picture:
    drawn = _dots_of(rows)
    n, method = int(rows["n_subjects"].max()), rows["method"].iloc[0]
    return Picture(
        dots(drawn, "value", "gain in mean r over untuned", zero=True),
        alt="Gains over the untuned backbone by group of ROIs: "
        + "; ".join(f"{one.label}, {one.method} {one.value:+.3f}" for one in drawn.itertuples())
        + ".",
        caption=f"Gain in mean Pearson r over untuned of {method} and of its controls, protocol "
        f"{rows['protocol'].iloc[0]}; at most {n} subjects; bars: 95 % interval.",
    )


def _dots_of(rows: pd.DataFrame) -> pd.DataFrame:
    """List the dots: each control's gain, and that of the fine-tuned trials on most vertices."""
    names = {"gain": "value", "gain_low": "low", "gain_high": "high"}
    widest = rows.sort_values("n_vertices", kind="stable").drop_duplicates("row", keep="last")
    real = widest.assign(method=rows["method"].iloc[0]).rename(columns=names)
    of_control = {f"control_{old}": new for old, new in names.items()}
    controls = rows.drop(columns="method").rename(columns={"control": "method", **of_control})
    shown = ["row", "method", "value", "low", "high"]
    return pd.concat([real[shown], controls[shown]]).rename(columns={"row": "label"})
