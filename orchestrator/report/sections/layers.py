"""The layer × ROI matrix of each method, as a figure, a sentence and a table."""

from collections.abc import Iterator

import matplotlib as mpl
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.cli.text import count
from orchestrator.report.sections.section import Column, Picture, Section, of_each
from orchestrator.report.style import SEQUENTIAL, STYLE, WIDTH, as_svg
from orchestrator.scores.rows import method_order
from trainables.spec.labels import method_of
from trainables.spec.rois import ROI_ORDER

COLUMNS = (
    Column("method", "method"),
    Column("dataset", "data set"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("layer", "layer"),
    Column("r", "mean r", "r"),
    Column("n_subjects", "subjects", "count"),
    Column("n_models", "models", "count"),
    Column("n_chosen", "chosen by", "count"),
    Column("protocol", "protocol"),
)


def section(table: pa.Table) -> Section:
    """Show r at each layer, of the first protocol present, one matrix per method."""
    rows = table.to_pandas()
    first = rows[rows["protocol"] == rows["protocol"].iloc[0]]
    methods = [
        name for name in method_order(first["method"].unique()) if "-" not in method_of(name)
    ]
    return Section(
        name="layers",
        title="Layers and ROIs",
        reading=tuple(_read(first[first["method"].isin(methods)])),
        figures=tuple(_picture(first[first["method"] == method], method) for method in methods),
        table=rows,
        columns=COLUMNS,
    )


def _read(rows: pd.DataFrame) -> Iterator[str]:
    """Name the best layer, one sentence per method and group."""
    for label, part in of_each(rows, ("method", "dataset", "group")):
        means = part.groupby("layer")["r"].mean()
        n = len(part[["hemisphere", "roi"]].drop_duplicates())
        yield (
            f"{label}: r is highest at {means.idxmax()}, {means.max():.3f} on average over "
            f"{count(n, 'ROI')} of lh and rh."
        )


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
