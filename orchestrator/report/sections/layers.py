"""The layer × ROI matrix of each method, as a figure, a sentence and a table."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import matplotlib as mpl
import numpy as np
import pandas as pd
import pyarrow as pa
from matplotlib.figure import Figure

from orchestrator.cli.text import count
from orchestrator.report.sections.plots import roi_rank
from orchestrator.report.sections.section import Column, Picture, Section, of_each
from orchestrator.report.style import SEQUENTIAL, STYLE, WIDTH, as_svg
from orchestrator.scores.rows import method_order
from trainables.spec.labels import method_of

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

CELL: Final = 0.2
"""Inches of a matrix's column and row."""


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
            f"{count(n, 'ROI')} of {' and '.join(sorted(part['hemisphere'].unique()))}."
        )


def _picture(rows: pd.DataFrame, method: str) -> Picture:
    matrices, chosen = layer_matrices(rows, "r"), layer_matrices(rows, "n_chosen")
    protocol, n = rows["protocol"].iloc[0], int(rows["n_subjects"].max())
    best = rows.sort_values("r").iloc[-1].to_dict()
    sizes = [
        f"{len(one)} layers by {one.shape[1]} ROIs of {side}" for side, one in matrices.items()
    ]
    return Picture(
        _draw(method, matrices, {side: most_chosen(one) for side, one in chosen.items()}),
        alt=f"Heat maps of mean r of {method}: {', '.join(sizes)}; the highest is "
        f"{best['r']:.3f} at {best['layer']}, {best['hemisphere']} {best['roi']}.",
        caption=f"{method}: mean Pearson r over the vertices of an ROI, then over subjects (at "
        f"most {n}), protocol {protocol}; ○: the layer that was chosen for most models of an ROI.",
    )


def layer_matrices(rows: pd.DataFrame, value: str) -> dict[str, pd.DataFrame]:
    """Arrange a value of one method as layers × ROIs, by hemisphere.

    Layers are in the order of the backbone, and alike in all hemispheres; ROIs are in the order of
    all tables.
    """
    layers = list(rows.drop_duplicates("layer").sort_values("place")["layer"])
    several = rows["dataset"].nunique() > 1
    named = rows.assign(roi=rows["dataset"] + " " + rows["roi"]) if several else rows
    return {
        str(side): part.pivot_table(index="layer", columns="roi", values=value).reindex(
            index=layers, columns=sorted(part["roi"].unique(), key=_roi_order)
        )
        for side, part in named.groupby("hemisphere")
    }


def _roi_order(name: str) -> tuple[str, tuple[int, str]]:
    """Order ROIs by their data set, where it is named, then as in all tables."""
    dataset, _, roi = name.rpartition(" ")
    return dataset, roi_rank(roi)


def most_chosen(counts: pd.DataFrame) -> list[tuple[int, int]]:
    """List (layer, ROI) of the layers that most models chose, by position; none where none did."""
    numbers = counts.fillna(0).to_numpy()
    is_most = (numbers == numbers.max(axis=0)) & (numbers > 0)
    return [(int(layer), int(roi)) for layer, roi in zip(*is_most.nonzero(), strict=True)]


def _draw(
    method: str,
    matrices: Mapping[str, pd.DataFrame],
    chosen: Mapping[str, Sequence[tuple[int, int]]],
) -> str:
    """Draw the hemispheres side by side on one scale, with the chosen layers marked."""
    low = min(float(np.nanmin(one.to_numpy())) for one in matrices.values())
    high = max(float(np.nanmax(one.to_numpy())) for one in matrices.values())
    widths = [one.shape[1] for one in matrices.values()]
    n_layers = len(next(iter(matrices.values())))
    with mpl.rc_context(STYLE):
        size = (max(WIDTH, 2.2 + CELL * sum(widths)), 1.6 + CELL * n_layers)
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(1, len(matrices), width_ratios=widths, sharey=True, squeeze=False)
        for axes, (side, matrix) in zip(panels[0], matrices.items(), strict=True):
            image = axes.imshow(
                matrix.to_numpy(), cmap=SEQUENTIAL, aspect="auto", vmin=low, vmax=high
            )
            axes.set_xticks(range(matrix.shape[1]), list(matrix.columns), rotation=90)
            axes.set_yticks(range(n_layers), list(matrix.index))
            axes.set_title(f"{method}, {side}", loc="left")
            for layer, roi in chosen[side]:
                axes.plot(roi, layer, "o", mfc="none", mec="white", ms=7, mew=2.6)
                axes.plot(roi, layer, "o", mfc="none", mec="black", ms=7, mew=1.2)
        figure.colorbar(image, ax=list(panels[0]), label="mean r", pad=0.01)
        return as_svg(figure)
