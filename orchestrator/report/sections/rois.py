"""Presence and sizes of the subjects' ROIs: a matrix of each hemisphere."""

from collections.abc import Iterator
from typing import Final

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from orchestrator.cli.text import count
from orchestrator.report.sections.plots import roi_rank
from orchestrator.report.sections.section import Column, Picture, Section, of_each
from orchestrator.report.style import SEQUENTIAL, STYLE, WIDTH, as_svg

COLUMNS = (
    Column("dataset", "data set"),
    Column("subject", "subject"),
    Column("hemisphere", "hemisphere"),
    Column("roi", "ROI"),
    Column("group", "group"),
    Column("n_vertices", "vertices", "count"),
    Column("is_scored", "has scores"),
)
CELL: Final = (0.4, 0.25)
"""Width and height of a cell, in inches."""
ABSENT: Final = "–"
FEW: Final = 3
"""Missing ROIs that a sentence names before it counts them."""


def section(table: pa.Table) -> Section:
    """Show the vertices of each ROI by subject and hemisphere, one figure per data set."""
    rows = table.to_pandas()
    datasets = [(str(name), part) for name, part in rows.groupby("dataset")]
    return Section(
        name="rois",
        title="ROIs and their sizes",
        reading=tuple(sentence for name, part in datasets for sentence in _read(name, part)),
        figures=tuple(_picture(name, part) for name, part in datasets),
        table=rows,
        columns=COLUMNS,
    )


def _read(dataset: str, rows: pd.DataFrame) -> Iterator[str]:
    """State the sizes of each group, and which ROIs subjects lack."""
    n_subjects = rows["subject"].nunique()
    for group, part in of_each(rows, ("group",)):
        n = part["n_vertices"]
        yield (
            f"{dataset}, {group}: {count(len(part), 'ROI')} of {count(n_subjects, 'subject')}, of "
            f"{n.min():,} to {n.max():,} vertices, median {n.median():,.0f}."
        )
    lacking = {
        f"{roi} {side}": n_subjects - len(part)
        for (side, roi), part in rows.groupby(["hemisphere", "roi"])
        if len(part) < n_subjects
    }
    if lacking:
        most = sorted(lacking, key=lambda name: (-lacking[name], name))
        named = ", ".join(f"{name} ({lacking[name]})" for name in most[:FEW])
        more = f" and {len(most) - FEW} others" if len(most) > FEW else ""
        yield (
            f"{dataset}: in brackets, the number of the {n_subjects} subjects that lack an ROI: "
            f"{named}{more}."
        )


def size_matrices(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Arrange numbers of vertices as subjects × ROIs, by hemisphere; NaN where one is absent.

    Rows and columns are alike in all hemispheres.
    """
    subjects = sorted(rows["subject"].unique())
    names = sorted(rows["roi"].unique(), key=roi_rank)
    return {
        str(side): part.pivot(index="subject", columns="roi", values="n_vertices").reindex(
            index=subjects, columns=names
        )
        for side, part in rows.groupby("hemisphere")
    }


def _picture(dataset: str, rows: pd.DataFrame) -> Picture:
    matrices = size_matrices(rows)
    n_absent = {side: int(matrix.isna().to_numpy().sum()) for side, matrix in matrices.items()}
    absent = ", ".join(f"{n} of {side}" for side, n in n_absent.items())
    n_unscored = int((~rows["is_scored"]).sum())
    unscored = f"; {count(n_unscored, 'ROI')} without scores" if n_unscored else ""
    return Picture(
        _draw(matrices),
        alt=f"Numbers of vertices of the ROIs of {dataset} by subject and hemisphere, from "
        f"{rows['n_vertices'].min():,} to {rows['n_vertices'].max():,}; absent: {absent}.",
        caption=f"Vertices of each ROI of {dataset} by subject; grey with {ABSENT}: the subject "
        f"has no such ROI ({absent}){unscored}. The colour scale is logarithmic.",
    )


def _draw(matrices: dict[str, pd.DataFrame]) -> str:
    n_rows, n_columns = next(iter(matrices.values())).shape
    values = np.concatenate([one.to_numpy(dtype=float).ravel() for one in matrices.values()])
    norm = LogNorm(float(np.nanmin(values)), max(float(np.nanmax(values)), np.nanmin(values) + 1))
    with mpl.rc_context(STYLE):
        width = max(WIDTH, 1.7 + CELL[0] * n_columns)
        height = 1.2 + len(matrices) * (0.35 + CELL[1] * n_rows)
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(len(matrices), 1, sharex=True, squeeze=False).ravel()
        for axes, (side, matrix) in zip(panels, matrices.items(), strict=True):
            image = axes.imshow(matrix.to_numpy(), cmap=SEQUENTIAL, norm=norm, aspect="auto")
            axes.set_facecolor("0.9")
            axes.set_title(side, loc="left")
            axes.set_yticks(range(n_rows), list(matrix.index))
            axes.set_xticks(range(n_columns), list(matrix.columns), rotation=90)
            _write_numbers(axes, matrix, norm)
        figure.colorbar(image, ax=list(panels), label="vertices", pad=0.01, aspect=30)
        return as_svg(figure)


def _write_numbers(axes: Axes, matrix: pd.DataFrame, norm: LogNorm) -> None:
    """Write each number into its cell, dark on light colours and light on dark ones."""
    for (row, column), n in np.ndenumerate(matrix.to_numpy(dtype=float)):
        is_dark = not np.isnan(n) and norm(n) < 0.55
        text = ABSENT if np.isnan(n) else f"{n:,.0f}"
        colour = "white" if is_dark else "black"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
