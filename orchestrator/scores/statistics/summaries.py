"""The numbers of a table of scores: means by ROI and subject, paired differences, intervals.

Every number of a row is computed within each ROI, averaged over the ROIs of a subject, then over
subjects: a large ROI, or a subject with many ROIs, has no more weight than another.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import (
    ROI_COLUMNS,
    By,
    Row,
    method_order,
    roi_weights,
    rois_of,
    rows_by,
    without_streams,
)

BLOCK: Final = 1 << 18
"""Random indices in memory at once."""

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


@dataclass(frozen=True)
class Pairs:
    """The vertices for which two methods have an r, and the number of the others."""

    a: str
    b: str
    frame: pd.DataFrame
    """One row per vertex of an ROI: ROI_COLUMNS, ROI, and the columns a and b, r of each method."""
    n_only_a: int
    n_only_b: int
    n_constant: int
    """Vertices that both scored, but at least one without an r."""


@dataclass(frozen=True)
class PairedRois:
    """Two methods in each ROI that both scored, computed once for many tables."""

    a: str
    b: str
    rois: pd.DataFrame
    """Index ROI; ROI_COLUMNS, means a and b, better (share of vertices at which a is), n
    vertices."""
    drawn: Mapping[str, Values]
    """Draws of each ROI's mean difference, (n_draws,)."""
    level: float
    """Of the interval."""

    def of_hemisphere(self, hemisphere: str) -> "PairedRois":
        """Keep the ROIs of lh or rh; of "both", all."""
        if hemisphere == "both":
            return self
        return replace(self, rois=self.rois[self.rois["hemisphere"] == hemisphere])


@dataclass(frozen=True)
class Comparison:
    """Two methods on the paired vertices of a row, with the interval of their difference."""

    row: Row
    a: str
    b: str
    mean_a: float
    mean_b: float
    low: float
    high: float
    share_improved: float
    n_pairs: int
    subjects: frozenset[tuple[str, str]]
    """Each as (dataset, subject)."""

    @property
    def difference(self) -> float:
        """Mean r of a minus mean r of b."""
        return self.mean_a - self.mean_b


@dataclass(frozen=True)
class Bootstrap:
    """How the interval of a difference is drawn."""

    n_draws: int = 2000
    level: float = 0.95
    seed: int = 0


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


def summarise(vertices: pd.DataFrame, by: By) -> list[Summary]:
    """Summarise every method on every row; a method without an ROI of a row has no summary.

    vertices: one protocol and one trial per ROI and method; one row per vertex.
    """
    rows = rows_by(rois_of(vertices), by)
    methods = method_order(list(vertices["method"].unique()))
    tables = {m: _roi_summaries(vertices[vertices["method"] == m]) for m in methods}
    return [
        _summary(row, method, tables[method].loc[tables[method].index.isin(row.rois)])
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
        }
    )
    numbers.index = numbers.index.astype(str)
    return rois_of(vertices).join(numbers)


def _summary(row: Row, method: str, rois: pd.DataFrame) -> Summary:
    scored = rois.dropna(subset=["mean"])
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
    )


def pair(vertices: pd.DataFrame, a: str, b: str) -> Pairs:
    """Pair two methods: the same vertex of the same ROI and data, under the same protocol.

    vertices: one protocol and one trial per ROI and method; one row per vertex.
    """
    key = ["roi_id", "data", "protocol", "vertex"]
    sides = [vertices[vertices["method"] == method] for method in (a, b)]
    merged = sides[0][[*key, *ROI_COLUMNS, "r"]].merge(
        sides[1][[*key, "r"]], on=key, how="inner", suffixes=("_a", "_b"), validate="one_to_one"
    )
    frame = merged.rename(columns={"r_a": "a", "r_b": "b"})
    both = frame.dropna(subset=["a", "b"])
    return Pairs(
        a=a,
        b=b,
        frame=both[["roi_id", *ROI_COLUMNS, "a", "b"]],
        n_only_a=len(sides[0]) - len(frame),
        n_only_b=len(sides[1]) - len(frame),
        n_constant=len(frame) - len(both),
    )


def measure_rois(pairs: Pairs, bootstrap: Bootstrap) -> PairedRois:
    """Average each ROI, and bootstrap its mean difference over vertices."""
    numbers, drawn = {}, {}
    for roi, part in pairs.frame.groupby("roi_id", observed=True):
        a, b = part["a"].to_numpy(), part["b"].to_numpy()
        better = float((a > b).mean())
        numbers[str(roi)] = {"a": a.mean(), "b": b.mean(), "better": better, "n": len(part)}
        generator = _generator(bootstrap, str(roi))
        drawn[str(roi)] = draw_means(a - b, bootstrap.n_draws, generator)
    table = pd.DataFrame.from_dict(numbers, "index", columns=["a", "b", "better", "n"])
    rois = rois_of(pairs.frame).join(table)
    return PairedRois(pairs.a, pairs.b, rois, drawn, bootstrap.level)


def compare(pairs: Pairs, by: By, bootstrap: Bootstrap) -> list[Comparison]:
    """Compare two methods on every row that has pairs, with the interval of the difference.

    The vertices of each ROI are resampled, both methods of a vertex together; ROIs and subjects
    are not resampled.
    """
    return compare_rois(measure_rois(pairs, bootstrap), by)


def compare_rois(paired: PairedRois, by: By) -> list[Comparison]:
    """Compare two methods on every row of the ROIs; see :func:`compare`."""
    return [_comparison(row, paired) for row in rows_by(paired.rois, by) if row.rois]


def _generator(bootstrap: Bootstrap, roi: str) -> np.random.Generator:
    """Seed by the ROI, so that its draws do not depend on what else is in the table."""
    return np.random.default_rng([bootstrap.seed, zlib.crc32(roi.encode())])


def _comparison(row: Row, paired: PairedRois) -> Comparison:
    rois = paired.rois.loc[list(row.rois)]
    weights = roi_weights(rois).to_numpy()
    means = weights @ np.stack([paired.drawn[roi] for roi in row.rois])
    tail = (1 - paired.level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    mean_a, mean_b, better = (float(weights @ rois[name]) for name in ("a", "b", "better"))
    return Comparison(
        row=row,
        a=paired.a,
        b=paired.b,
        mean_a=mean_a,
        mean_b=mean_b,
        low=float(low),
        high=float(high),
        share_improved=better,
        n_pairs=int(rois["n"].sum()),
        subjects=frozenset(zip(rois["dataset"], rois["subject"], strict=True)),
    )


def draw_means(values: Values, n_draws: int, generator: np.random.Generator) -> Values:
    """Draw means of values (n,) resampled with replacement. Returns (n_draws,)."""
    n = len(values)
    size = max(1, BLOCK // n)
    means = np.empty(n_draws)
    for start in range(0, n_draws, size):
        drawn = generator.integers(n, size=(min(size, n_draws - start), n))
        means[start : start + size] = values.take(drawn).mean(axis=1)
    return means


def choose_layers(vertices: pd.DataFrame, at_layers: pd.DataFrame) -> list[LayerChoice]:
    """Count which layer each ROI chose; ROIs without an r, and the streams, are left out.

    vertices: one protocol and one trial per ROI and method. at_layers: one row per
    (method, ROI, layer), r the mean over the ROI's vertices.
    """
    scored = vertices.dropna(subset=["r"])
    choices = []
    for method in method_order(scored["method"].unique()):
        of_method = scored[scored["method"] == method]
        means = of_method.groupby(["roi_id", "layer"], observed=True)["r"].mean()
        chosen = means.reset_index("layer")
        chosen.index = chosen.index.astype(str)
        rois = without_streams(rois_of(of_method)).join(chosen)
        reported = at_layers[at_layers["method"] == method].astype({"roi_id": str})
        layers = dict.fromkeys((*reported["layer"], *rois["layer"].astype(str)))
        choices += [_choice(method, layer, rois, reported) for layer in layers]
    return choices


def _choice(method: str, layer: str, rois: pd.DataFrame, reported: pd.DataFrame) -> LayerChoice:
    chose = rois[rois["layer"] == layer]
    at_layer = reported[reported["layer"] == layer].set_index("roi_id")["r"].rename("r_at_layer")
    return LayerChoice(
        method=method,
        layer=layer,
        n_chosen=len(chose),
        n_rois=len(rois),
        r_chosen=_hierarchical_mean(chose, "r"),
        r_at_layer=_hierarchical_mean(rois.join(at_layer, how="inner"), "r_at_layer"),
    )


def _hierarchical_mean(rois: pd.DataFrame, column: str) -> float | None:
    """Average over the ROIs of a subject, then over subjects; None without ROIs."""
    return None if rois.empty else float((rois[column] * roi_weights(rois)).sum())
