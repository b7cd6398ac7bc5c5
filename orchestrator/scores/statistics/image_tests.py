"""Two methods over test images: a corrected test at every vertex, and summaries by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS, By, Row, family_of, roi_weights, rows_by
from orchestrator.scores.statistics.false_discovery import adjust
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


@dataclass(frozen=True)
class ImageTests:
    """Two methods' vertices, each tested over test images."""

    a: str
    b: str
    vertices: pd.DataFrame
    """ROI_COLUMNS, ROI, vertex, n_images, r_a, r_b, difference, standard_error, low, high, p,
    q: one row per vertex."""
    rois: pd.DataFrame
    """Index ROI, columns ROI_COLUMNS: those tested, in the tables' order."""
    missing: Sequence[str]
    """Why ROIs are not tested, one line per ROI."""


@dataclass(frozen=True)
class ImageComparison:
    """Two methods on a row: the shares of vertices that differ over test images."""

    row: Row
    a: str
    b: str
    difference: float
    share_better: float
    """Share of vertices with q at most FALSE_DISCOVERIES and a higher r of a."""
    share_worse: float
    n_vertices: int


def compare_over_images(
    vertices: pd.DataFrame,
    methods: tuple[str, str],
    places: tuple[RunDirectory, DataDirectory],
) -> ImageTests:
    """Test every vertex of the ROIs that both methods scored, and correct within each subject.

    vertices: rows of scores under ``nested``, averaged over seeds; ROIs of several seeds are left
    out, since one seed's predictions do not stand for all. places: the sweep's directory and that
    of the shards. Corrected together are the vertices of a subject's ROIs; streams, atlases
    and whole hemispheres, which overlap the others, apart. Raises ValueError when a file is
    damaged.
    """
    several = vertices[vertices["method"].isin(methods) & (vertices["n_seeds"] > 1)]
    left_out = several["roi_id"].unique()
    missing = [f"{roi}: several seeds; --where seed=N compares one" for roi in left_out]
    rois = shared_rois(vertices[~vertices["roi_id"].isin(left_out)], methods)
    parts: list[pd.DataFrame] = []
    tested: list[str] = []
    for (dataset, subject, _), of_subject in rois.groupby(["dataset", "subject", "data"]):
        shard = places[1].shard(f"{dataset}-{subject}")
        for one in read_subject_rois(of_subject, places[0], shard, missing):
            tested.append(one.roi_id)
            parts.append(_rows(one, compare_vertices(one.predicted), of_subject))
    frame = corrected(pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()
    return ImageTests(*methods, frame, rois.loc[tested], missing)


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
            "standard_error": tested.error,
            "low": tested.low,
            "high": tested.high,
            "p": tested.p,
        }
    )


def corrected(frame: pd.DataFrame) -> pd.DataFrame:
    """Add q: p corrected over the vertices of a subject, its overlapping ROI groups apart."""
    family = [frame["dataset"], frame["subject"], frame["group"].map(lambda one: family_of([one]))]
    q = frame.groupby(family)["p"].transform(lambda p: np.array(adjust(p.tolist()), np.float64))
    return frame.assign(q=q)


def summarise_over_images(tests: ImageTests, by: By) -> list[ImageComparison]:
    """Compute each row's numbers: by ROI, over a subject's ROIs, then over subjects."""
    if tests.rois.empty:
        return []
    frame = tests.vertices.dropna(subset=["p"])
    found = frame["q"] <= FALSE_DISCOVERIES
    marked = frame.assign(
        better=found & (frame["difference"] > 0), worse=found & (frame["difference"] < 0)
    ).groupby("roi_id")
    numbers = marked[["difference", "better", "worse"]].mean().assign(n=marked.size())
    rois = tests.rois.join(numbers, how="inner")
    return [_comparison(row, tests, rois.loc[list(row.rois)]) for row in rows_by(rois, by)]


def _comparison(row: Row, tests: ImageTests, rois: pd.DataFrame) -> ImageComparison:
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
        share_better=better,
        share_worse=worse,
        n_vertices=int(rois["n"].sum()),
    )
