"""Transfer between subjects, as matrices."""

import pandas as pd
import pyarrow as pa

from orchestrator.report.sections.plots import matrices
from orchestrator.report.sections.section import Column, Picture, Section

COLUMNS = (
    Column("method", "method"),
    Column("level", "level"),
    Column("row", "row"),
    Column("hemisphere", "hemisphere"),
    Column("model", "fine-tuned on"),
    Column("subject", "subject"),
    Column("r", "mean r", "r"),
    Column("r_untuned", "untuned r", "r"),
    Column("share_better", "better", "share"),
    Column("n_rois", "ROIs", "count"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show both matrices of each method's groups, of the first protocol, over both hemispheres."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    shown = first[(first["level"] == "group") & (first["hemisphere"] == "both")]
    return Section(
        name="transfer",
        title="Transfer between subjects",
        reading=_read(shown),
        figures=(
            _picture(shown, "share_better", "% of vertices better than untuned"),
            _picture(shown, "r", "mean r"),
        ),
        table=rows,
        columns=COLUMNS,
    )


def _read(rows: pd.DataFrame) -> str:
    last = rows[rows["row"] == rows["row"].iloc[-1]]
    own, other = last[last["is_own"]], last[~last["is_own"]]
    gain = (other["r"] - other["r_untuned"]).mean()
    own_gain = (own["r"] - own["r_untuned"]).mean()
    suffix = "" if own.empty else f", where a subject's own models gain {own_gain:+.3f}"
    return (
        f"Models of other subjects change mean r by {gain:+.3f} from untuned ({len(other)} "
        f"pairs; {other['share_better'].mean():.0%} of vertices better){suffix}."
    )


def _picture(rows: pd.DataFrame, value: str, label: str) -> Picture:
    share = value == "share_better"
    parts = []
    for (method, row, dataset), part in rows.groupby(["method", "row", "dataset"], sort=False):
        matrix = part.pivot_table(index="model", columns="subject", values=value)
        where = f" {dataset}" if rows["dataset"].nunique() > 1 else ""
        parts.append((f"{method}\n{row}{where}", 100 * matrix if share else matrix))
    protocol = rows["protocol"].iloc[0]
    values = rows.loc[~rows["is_own"], value]
    return Picture(
        matrices(parts, label, centre=50.0 if share else None),
        alt=f"Matrices of {label}, model by target; between subjects from {values.min():.3f} to "
        f"{values.max():.3f}, mean {values.mean():.3f}.",
        caption=f"{label[0].upper()}{label[1:]}, protocol {protocol}; rows: subject of the "
        "fine-tuning; columns: scored subject; PCA and ridge are fitted to the scored subject; "
        "empty: no shared ROI.",
    )
