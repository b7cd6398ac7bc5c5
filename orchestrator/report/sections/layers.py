"""The layer × ROI matrix of each method, as a figure, a sentence and a table."""

import matplotlib as mpl
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report.sections.section import Column, Picture, Section
from orchestrator.report.style import SEQUENTIAL, STYLE, WIDTH, as_svg
from orchestrator.scores.rows import method_order
from trainables.spec.rois import ROI_ORDER

COLUMNS = (
    Column("method", "method"),
    Column("dataset", "data set"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("layer", "layer"),
    Column("r", "mean r", "r"),
    Column("n_subjects", "subjects", "count"),
    Column("n_chosen", "chosen by", "count"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show r at each layer, of the first protocol present, one matrix per method."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    methods = [name for name in method_order(first["method"].unique()) if "-" not in name]
    return Section(
        name="layers",
        title="Layers and ROIs",
        reading=_read(first),
        figures=tuple(_picture(first[first["method"] == method], method) for method in methods),
        table=rows,
        columns=COLUMNS,
    )


def _read(rows: pd.DataFrame) -> str:
    means = rows.groupby(["method", "group", "layer"])["r"].mean().reset_index()
    method = method_order(means["method"].unique())[0]
    best = means[means["method"] == method].sort_values("r").groupby("group").tail(1)
    parts = [f"{one.layer} for {one.group} ROIs (mean r {one.r:.3f})" for one in best.itertuples()]
    return f"Of the {method} backbone, the best layer is {' and '.join(parts)}."


def _picture(rows: pd.DataFrame, method: str) -> Picture:
    matrix = rows.pivot_table(index="layer", columns=["hemisphere", "roi"], values="r")
    order = rows.drop_duplicates("layer").sort_values("place")["layer"]
    matrix = matrix.reindex(
        index=list(order), columns=sorted(matrix.columns.to_list(), key=_column_order)
    )
    with mpl.rc_context(STYLE):
        wide = max(WIDTH, 1.6 + 0.28 * matrix.shape[1])
        figure = Figure(figsize=(wide, 1.4 + 0.28 * len(matrix)), layout="constrained")
        _draw(figure.subplots(), matrix, method)
        source = as_svg(figure)
    protocol, n = rows["protocol"].iloc[0], int(rows["n_subjects"].max())
    best = rows.sort_values("r").iloc[-1].to_dict()
    return Picture(
        source,
        alt=f"Heat map of mean r of the {method} backbone: {len(matrix)} layers by "
        f"{matrix.shape[1]} ROIs; the highest is {best['r']:.3f} at {best['layer']}, "
        f"{best['hemisphere']} {best['roi']}.",
        caption=f"Mean Pearson r over the vertices of an ROI, then over subjects (at most {n}), "
        f"protocol {protocol}; • marks the best layer of an ROI.",
    )


def _draw(axes: Axes, matrix: pd.DataFrame, method: str) -> None:
    image = axes.imshow(matrix.to_numpy(), cmap=SEQUENTIAL, aspect="auto")
    labels = [f"{column[1]} {column[0]}" for column in matrix.columns.to_list()]
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(matrix)), list(matrix.index))
    for column in range(matrix.shape[1]):
        axes.plot(column, int(matrix.iloc[:, column].argmax()), "o", color="white", ms=3)
    axes.set_title(method, loc="left")
    axes.figure.colorbar(image, ax=axes, label="mean r")


def _column_order(column: tuple[str, str]) -> tuple[str, int, str]:
    hemisphere, roi = column
    place = ROI_ORDER.index(roi) if roi in ROI_ORDER else len(ROI_ORDER)
    return (hemisphere, place, roi)
