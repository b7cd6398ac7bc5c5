"""Two methods over test images: a test at every vertex, corrected, and what rows make of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import CELL, By, Row, cell_weights, rows_by
from orchestrator.scores.statistics.false_discovery import adjust
from orchestrator.scores.statistics.image_bootstrap import (
    ImageBootstrap,
    VertexDifferences,
    bootstrap_vertices,
    draw_counts,
)
from orchestrator.scores.statistics.paired_predictions import (
    PredictedCell,
    read_subject_cells,
    shared_cells,
)

FALSE_DISCOVERIES: Final = 0.05
"""The share of false ones among the vertices that are called better, or worse."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class ImageTests:
    """Two methods' vertices, each tested over test images."""

    a: str
    b: str
    vertices: pd.DataFrame
    """CELL, cell, vertex, n_images, r_a, r_b, difference, low, high, p, q: a row a vertex."""
    cells: pd.DataFrame
    """Index cell, columns CELL: those tested, in the tables' order."""
    drawn: Mapping[str, Values]
    """(n_draws,) mean difference over each cell's vertices."""
    images: Mapping[str, bytes]
    """Which images each cell is tested on: cells of a subject share draws where these agree."""
    missing: Sequence[str]
    """Why cells are not tested, a line a cell."""


@dataclass(frozen=True)
class ImageComparison:
    """Two methods on a row, with what other test images would have made of it."""

    row: Row
    a: str
    b: str
    difference: float
    interval: tuple[float, float] | None
    """Of the difference over test images; None where cells of a subject have other images."""
    share_better: float
    """Share of vertices with q at most FALSE_DISCOVERIES and a higher r of a."""
    share_worse: float
    n_vertices: int


def compare_over_images(
    vertices: pd.DataFrame,
    methods: tuple[str, str],
    places: tuple[Path, Path],
    draw: ImageBootstrap,
) -> ImageTests:
    """Test every vertex of the cells that both methods scored, and correct within each subject.

    vertices: rows of scores under ``nested``, one trial a cell and method. places: the sweep's
    directory and that of the shards. Corrected together are the vertices of a subject's cells,
    streams apart, as they overlap the others. Raises ValueError when a file is damaged.
    """
    cells = shared_cells(vertices, methods)
    missing: list[str] = []
    parts: list[pd.DataFrame] = []
    drawn: dict[str, Values] = {}
    images: dict[str, bytes] = {}
    for (dataset, subject, _), of_subject in cells.groupby(["dataset", "subject", "data"]):
        shard = places[1] / f"{dataset}-{subject}"
        for one in read_subject_cells(of_subject, places[0], shard, missing):
            counts = draw_counts(len(one.predicted.measured), draw, shard.name)
            tested = bootstrap_vertices(one.predicted, counts, draw.level)
            drawn[one.cell] = tested.drawn_mean
            images[one.cell] = one.index.tobytes()
            parts.append(_rows(one, tested, of_subject))
    frame = _corrected(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()
    return ImageTests(*methods, frame, cells.loc[list(drawn)], drawn, images, missing)


def _rows(one: PredictedCell, tested: VertexDifferences, cells: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "cell": one.cell,
            **{key: cells.at[one.cell, key] for key in CELL},
            "vertex": one.vertex,
            "n_images": len(one.predicted.measured),
            "r_a": tested.r_a,
            "r_b": tested.r_b,
            "difference": tested.r_a - tested.r_b,
            "low": tested.low,
            "high": tested.high,
            "p": tested.p,
        }
    )


def _corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """Add q: p corrected over the vertices of a subject, its streams apart."""
    family = [frame["dataset"], frame["subject"], frame["group"] == "streams"]
    q = frame.groupby(family)["p"].transform(lambda p: np.array(adjust(p.tolist()), np.float64))
    return frame.assign(q=q)


def summarise_over_images(tests: ImageTests, by: By, level: float = 0.95) -> list[ImageComparison]:
    """Make each row's numbers: of each cell, then over a subject's cells, then over subjects.

    The draws of a subject are the same in all its cells, so the interval of a row covers the
    luck that they share; subjects are drawn apart, and stay as they are.
    """
    if tests.cells.empty:
        return []
    frame = tests.vertices.dropna(subset=["p"])
    found = frame["q"] <= FALSE_DISCOVERIES
    marked = frame.assign(
        better=found & (frame["difference"] > 0), worse=found & (frame["difference"] < 0)
    ).groupby("cell")
    numbers = marked[["difference", "better", "worse"]].mean().assign(n=marked.size())
    cells = tests.cells.join(numbers, how="inner")
    return [
        _comparison(row, tests, cells.loc[list(row.cells)], level) for row in rows_by(cells, by)
    ]


def _comparison(row: Row, tests: ImageTests, cells: pd.DataFrame, level: float) -> ImageComparison:
    weights = cell_weights(cells).to_numpy()
    difference, better, worse = (
        float(weights @ cells[name].to_numpy(np.float64))
        for name in ("difference", "better", "worse")
    )
    return ImageComparison(
        row=row,
        a=tests.a,
        b=tests.b,
        difference=difference,
        interval=_interval(tests, cells, level),
        share_better=better,
        share_worse=worse,
        n_vertices=int(cells["n"].sum()),
    )


def _interval(tests: ImageTests, cells: pd.DataFrame, level: float) -> tuple[float, float] | None:
    """Take the interval of a row's difference, where each subject's cells share their draws."""
    of_subject = cells.assign(images=[tests.images[cell] for cell in cells.index])
    if (of_subject.groupby(["dataset", "subject"])["images"].nunique() > 1).any():
        return None
    means = cell_weights(cells).to_numpy() @ np.stack([tests.drawn[cell] for cell in cells.index])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
