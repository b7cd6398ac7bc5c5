"""Two methods over test images: a corrected test at every vertex, and summaries by row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS, By, Row, roi_weights, rows_by
from orchestrator.scores.statistics.false_discovery import adjust
from orchestrator.scores.statistics.image_bootstrap import (
    ImageBootstrap,
    draw_counts,
    draw_mean_differences,
)
from orchestrator.scores.statistics.paired_predictions import (
    PredictedRoi,
    read_subject_rois,
    shared_rois,
)
from orchestrator.scores.statistics.vertex_tests import VertexTests, compare_vertices
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

FALSE_DISCOVERIES: Final = 0.05
"""The expected share of false discoveries among vertices called better, or worse."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class ImageTests:
    """Two methods' vertices, each tested over test images."""

    a: str
    b: str
    vertices: pd.DataFrame
    """ROI_COLUMNS, ROI, vertex, n_images, r_a, r_b, difference, low, high, p, q: one row per
    vertex."""
    rois: pd.DataFrame
    """Index ROI, columns ROI_COLUMNS: those tested, in the tables' order."""
    drawn: Mapping[str, Values]
    """(n_draws,) mean difference over each ROI's vertices."""
    images: Mapping[str, bytes]
    """Which images each ROI is tested on: ROIs of a subject share draws where these agree."""
    missing: Sequence[str]
    """Why ROIs are not tested, one line per ROI."""


@dataclass(frozen=True)
class ImageComparison:
    """Two methods on a row, with the variation over test images."""

    row: Row
    a: str
    b: str
    difference: float
    interval: tuple[float, float] | None
    """Of the difference over test images; None where ROIs of a subject have other images."""
    share_better: float
    """Share of vertices with q at most FALSE_DISCOVERIES and a higher r of a."""
    share_worse: float
    n_vertices: int


def compare_over_images(
    vertices: pd.DataFrame,
    methods: tuple[str, str],
    places: tuple[RunDirectory, DataDirectory],
    draw: ImageBootstrap,
) -> ImageTests:
    """Test every vertex of the ROIs that both methods scored, and correct within each subject.

    vertices: rows of scores under ``nested``, averaged over seeds; ROIs of several seeds are left
    out, since one seed's predictions do not stand for all. places: the sweep's directory and that
    of the shards. Corrected together are the vertices of a subject's ROIs,
    streams apart, as they overlap the others. Raises ValueError when a file is damaged.
    """
    several = vertices[vertices["method"].isin(methods) & (vertices["n_seeds"] > 1)]
    left_out = several["roi_id"].unique()
    missing = [f"{roi}: several seeds; --where seed=N compares one" for roi in left_out]
    rois = shared_rois(vertices[~vertices["roi_id"].isin(left_out)], methods)
    parts: list[pd.DataFrame] = []
    drawn: dict[str, Values] = {}
    images: dict[str, bytes] = {}
    for (dataset, subject, _), of_subject in rois.groupby(["dataset", "subject", "data"]):
        shard = places[1].shard(f"{dataset}-{subject}")
        for one in read_subject_rois(of_subject, places[0], shard, missing):
            counts = draw_counts(len(one.predicted.measured), draw, shard.name)
            drawn[one.roi_id] = draw_mean_differences(one.predicted, counts)
            images[one.roi_id] = one.index.tobytes()
            parts.append(_rows(one, compare_vertices(one.predicted, draw.level), of_subject))
    frame = corrected(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()
    return ImageTests(*methods, frame, rois.loc[list(drawn)], drawn, images, missing)


def _rows(one: PredictedRoi, tested: VertexTests, rois: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "roi_id": one.roi_id,
            **{key: rois.at[one.roi_id, key] for key in ROI_COLUMNS},
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


def corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """Add q: p corrected over the vertices of a subject, its streams apart."""
    family = [frame["dataset"], frame["subject"], frame["group"] == "streams"]
    q = frame.groupby(family)["p"].transform(lambda p: np.array(adjust(p.tolist()), np.float64))
    return frame.assign(q=q)


def summarise_over_images(tests: ImageTests, by: By, level: float = 0.95) -> list[ImageComparison]:
    """Compute each row's numbers: by ROI, over a subject's ROIs, then over subjects.

    The draws of a subject are the same in all its ROIs, so the interval of a row covers the
    sampling error that they share; subjects have separate draws and are not resampled.
    """
    if tests.rois.empty:
        return []
    frame = tests.vertices.dropna(subset=["p"])
    found = frame["q"] <= FALSE_DISCOVERIES
    marked = frame.assign(
        better=found & (frame["difference"] > 0), worse=found & (frame["difference"] < 0)
    ).groupby("roi_id")
    numbers = marked[["difference", "better", "worse"]].mean().assign(n=marked.size())
    rois = tests.rois.join(numbers, how="inner")
    return [_comparison(row, tests, rois.loc[list(row.rois)], level) for row in rows_by(rois, by)]


def _comparison(row: Row, tests: ImageTests, rois: pd.DataFrame, level: float) -> ImageComparison:
    weights = roi_weights(rois).to_numpy()
    difference, better, worse = (
        float(weights @ rois[name].to_numpy(np.float64))
        for name in ("difference", "better", "worse")
    )
    return ImageComparison(
        row=row,
        a=tests.a,
        b=tests.b,
        difference=difference,
        interval=_interval(tests, rois, level),
        share_better=better,
        share_worse=worse,
        n_vertices=int(rois["n"].sum()),
    )


def _interval(tests: ImageTests, rois: pd.DataFrame, level: float) -> tuple[float, float] | None:
    """Take the interval of a row's difference, where each subject's ROIs share their draws."""
    of_subject = rois.assign(images=[tests.images[roi] for roi in rois.index])
    if (of_subject.groupby(["dataset", "subject"])["images"].nunique() > 1).any():
        return None
    means = roi_weights(rois).to_numpy() @ np.stack([tests.drawn[roi] for roi in rois.index])
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
