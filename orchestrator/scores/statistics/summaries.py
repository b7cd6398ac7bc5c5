"""The numbers of a table of scores: means by ROI and subject, paired differences, intervals.

Every number of a row is computed within each ROI, averaged over the ROIs of a subject, then over
subjects: a large ROI, or a subject with many ROIs, has no more weight than another.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.scores.rows import (
    By,
    Row,
    method_order,
    roi_weights,
    rois_of,
    rows_by,
    subject_weights,
    without_overlapping,
)
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty, mean_uncertainty
from orchestrator.scores.statistics.measured_differences import NOTHING, MeasuredDifferences
from orchestrator.scores.statistics.roi_differences import RoiDifference
from orchestrator.scores.statistics.seed_spread import seed_means, spread_over_seeds
from orchestrator.scores.statistics.vertex_pairs import PairedRois, Pairs, measure_rois

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Summary:
    """A method's scores on the ROIs of a row; None where no vertex has an r."""

    row: Row
    method: str
    mean: float | None
    median: float | None
    """Median over the vertices of an ROI, averaged over ROIs and subjects like the mean."""
    share_positive: float | None
    n_vertices: int
    n_rois: int
    n_subjects: int
    n_constant: int
    """Vertices without an r, which enter no mean."""
    n_seeds: tuple[int, int] = (1, 1)
    """Fewest and most trials, which differ only in their seed, that an ROI's r is averaged over."""
    seed_sd: float | None = None
    """Standard deviation of the mean over seeds; None for one seed."""
    uncertainty: Uncertainty | None = None
    """Of the mean; None where it was not measured, or predictions are missing."""


@dataclass(frozen=True)
class Comparison:
    """Two methods on the paired vertices of a row, with the interval of their difference."""

    row: Row
    a: str
    b: str
    mean_a: float
    mean_b: float
    uncertainty: Uncertainty | None
    """Of the difference; None where predictions are missing."""
    share_improved: float
    n_pairs: int
    subjects: frozenset[tuple[str, str]]
    """Each as (dataset, subject)."""
    n_seeds: tuple[int, int] = (1, 1)
    """Fewest and most trials of a that an ROI's r is averaged over."""

    @property
    def difference(self) -> float:
        """Mean r of a minus mean r of b."""
        return self.mean_a - self.mean_b

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the difference."""
        if self.uncertainty is None:
            return None
        half = self.uncertainty.half_width
        return self.difference - half, self.difference + half


@dataclass(frozen=True)
class LayerChoice:
    """The number of a method's ROIs that chose a layer, and its mean r on all of them."""

    method: str
    layer: str
    n_chosen: int
    n_rois: int
    r_chosen: float | None
    """Mean r of the ROIs that chose the layer."""
    r_at_layer: float | None
    """Mean r at this layer over all ROIs, whichever layer they chose."""


def summarise(
    vertices: pd.DataFrame,
    by: By,
    trials: pd.DataFrame | None = None,
    measured: MeasuredDifferences | None = None,
) -> list[Summary]:
    """Summarise every method on every row; a method without an ROI of a row has no summary.

    vertices: one protocol, averaged over seeds; one row per vertex. trials: the same before they
    were averaged, for the standard deviation over seeds. measured: of pairs with NOTHING, for the
    intervals of the means.
    """
    known = {} if measured is None else measured.differences
    seeds = {} if trials is None else seed_means(trials)
    rows = rows_by(rois_of(vertices), by)
    methods = method_order(list(vertices["method"].unique()))
    tables = {m: _roi_summaries(vertices[vertices["method"] == m]) for m in methods}
    return [
        _summary(
            row,
            method,
            tables[method].loc[tables[method].index.isin(row.rois)],
            seeds.get(method),
            known.get((method, NOTHING), {}),
        )
        for row in rows
        for method in methods
        if tables[method].index.isin(row.rois).any()
    ]


def _roi_summaries(vertices: pd.DataFrame) -> pd.DataFrame:
    grouped = vertices.assign(positive=vertices["r"] > 0).groupby("roi_id", observed=True)
    numbers = pd.DataFrame(
        {
            "mean": grouped["r"].mean(),
            "median": grouped["r"].median(),
            "positive": grouped["positive"].sum() / grouped["r"].count(),
            "n": grouped.size(),
            "n_constant": grouped.size() - grouped["r"].count(),
            "seeds": grouped["n_seeds"].max(),
        }
    )
    numbers.index = numbers.index.astype(str)
    return rois_of(vertices).join(numbers)


def _summary(
    row: Row,
    method: str,
    rois: pd.DataFrame,
    seeds: pd.DataFrame | None,
    measured: Mapping[str, RoiDifference],
) -> Summary:
    scored = rois.dropna(subset=["mean"])
    known = [measured[roi] for roi in map(str, scored.index) if roi in measured]
    is_complete = bool(known) and len(known) == len(scored)
    return Summary(
        row=row,
        method=method,
        mean=_hierarchical_mean(scored, "mean"),
        median=_hierarchical_mean(scored, "median"),
        share_positive=_hierarchical_mean(scored, "positive"),
        n_vertices=int(rois["n"].sum()),
        n_rois=len(rois),
        n_subjects=rois.groupby(["dataset", "subject"]).ngroups,
        n_constant=int(rois["n_constant"].sum()),
        n_seeds=(int(rois["seeds"].min()), int(rois["seeds"].max())),
        seed_sd=None if seeds is None else spread_over_seeds(seeds, scored),
        uncertainty=mean_uncertainty(known, roi_weights(scored).tolist()) if is_complete else None,
    )


def compare_all(
    several: Sequence[Pairs], by: By, measured: MeasuredDifferences
) -> list[Comparison]:
    """Compare pairs of methods on every row that has vertices of both, with intervals.

    measured: what seeds and images add to the differences of these pairs.
    """
    return [one for each in measure_rois(several, measured) for one in compare_rois(each, by)]


def totals(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Keep, of comparisons by group, the widest rows: the totals, or the only group."""
    found = [one for one in comparisons if one.row.is_total]
    covered = {(one.a, one.b) for one in found}
    return [*found, *(one for one in comparisons if (one.a, one.b) not in covered)]


def compare_rois(paired: PairedRois, by: By) -> list[Comparison]:
    """Compare two methods on every row of the ROIs."""
    names = ("a", "b", "better", "n", "seeds")
    numbers = {name: paired.rois[name].to_numpy() for name in names}
    subjects = list(zip(paired.rois["dataset"], paired.rois["subject"], strict=True))
    places = {str(roi): place for place, roi in enumerate(paired.rois.index)}
    comparisons = []
    for row in rows_by(paired.rois, by):
        if row.rois:
            of_row = [places[roi] for roi in row.rois]
            chosen = {name: values[of_row] for name, values in numbers.items()}
            comparisons.append(_comparison(row, paired, chosen, [subjects[k] for k in of_row]))
    return comparisons


def _comparison(
    row: Row,
    paired: PairedRois,
    numbers: Mapping[str, Values],
    subjects: Sequence[tuple[str, str]],
) -> Comparison:
    """Compare two methods on a row.

    numbers: a, b, better, n and seeds of the row's ROIs. subjects: each ROI's.
    """
    weights = subject_weights(subjects)
    known = [paired.differences[roi] for roi in row.rois if roi in paired.differences]
    complete = len(known) == len(row.rois)
    mean_a, mean_b, better = (float(weights @ numbers[name]) for name in ("a", "b", "better"))
    return Comparison(
        row=row,
        a=paired.a,
        b=paired.b,
        mean_a=mean_a,
        mean_b=mean_b,
        uncertainty=mean_uncertainty(known, weights.tolist()) if complete else None,
        share_improved=better,
        n_pairs=int(numbers["n"].sum()),
        subjects=frozenset(subjects),
        n_seeds=(int(numbers["seeds"].min()), int(numbers["seeds"].max())),
    )


def choose_layers(vertices: pd.DataFrame, at_layers: pd.DataFrame) -> list[LayerChoice]:
    """Count which layer each ROI chose; ROIs without an r, and overlapping ones, are left out.

    vertices: one protocol, one row per vertex and trial. at_layers: one row per (trial, ROI,
    layer), r the mean over the ROI's vertices. An ROI counts once per seed.
    """
    scored = vertices.dropna(subset=["r"])
    choices = []
    for method in method_order(scored["method"].unique()):
        of_method = scored[scored["method"] == method]
        rois = without_overlapping(rois_of(of_method))
        chosen = of_method.groupby(["trial_id", "roi_id", "layer"], observed=True)["r"].mean()
        trials = chosen.reset_index().astype({"roi_id": str, "layer": str})
        trials = rois.join(trials.set_index("roi_id"), how="inner")
        reported = at_layers[at_layers["method"] == method].astype({"roi_id": str, "layer": str})
        layers = dict.fromkeys((*reported["layer"], *trials["layer"]))
        choices += [_choice(method, layer, trials, reported) for layer in layers]
    return choices


def _choice(method: str, layer: str, trials: pd.DataFrame, reported: pd.DataFrame) -> LayerChoice:
    """Count the choices of a layer. trials: index ROI, one row per ROI and trial."""
    chose = trials[trials["layer"] == layer]
    at_layer = reported[reported["layer"] == layer].groupby("roi_id")["r"].mean()
    rois = trials[~trials.index.duplicated()].drop(columns="r")
    return LayerChoice(
        method=method,
        layer=layer,
        n_chosen=len(chose),
        n_rois=len(trials),
        r_chosen=_hierarchical_mean(_over_seeds(chose), "r"),
        r_at_layer=_hierarchical_mean(rois.join(at_layer, how="inner"), "r"),
    )


def _over_seeds(trials: pd.DataFrame) -> pd.DataFrame:
    """Average r over the trials of each ROI. trials: index ROI."""
    rois = trials[~trials.index.duplicated()].drop(columns="r")
    return rois.join(trials.groupby(level=0)["r"].mean())


def _hierarchical_mean(rois: pd.DataFrame, column: str) -> float | None:
    """Average over the ROIs of a subject, then over subjects; None without ROIs."""
    return None if rois.empty else float((rois[column] * roi_weights(rois)).sum())
