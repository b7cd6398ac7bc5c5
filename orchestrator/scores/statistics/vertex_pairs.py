"""Two methods on the same vertices of each ROI, and the bootstrap of their difference."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS, rois_of

BLOCK: Final = 1 << 16
"""Random indices in memory at once: they and the values that they choose fit a core's cache."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Bootstrap:
    """How the interval of a difference is drawn."""

    n_draws: int = 2000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Pairs:
    """The vertices for which two methods have an r, and the number of the others."""

    a: str
    b: str
    frame: pd.DataFrame
    """One row per vertex of an ROI: ROI_COLUMNS, ROI, vertex, a and b, r of each method, and
    n_seeds of a."""
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
    vertices, seeds of a."""
    drawn: Mapping[str, Values]
    """Draws of each ROI's mean difference, (n_draws,)."""
    level: float
    """Of the interval."""

    def of_hemisphere(self, hemisphere: str) -> "PairedRois":
        """Keep the ROIs of lh or rh; of "both", all."""
        if hemisphere == "both":
            return self
        return replace(self, rois=self.rois[self.rois["hemisphere"] == hemisphere])


def pair(vertices: pd.DataFrame, a: str, b: str) -> Pairs:
    """Pair two methods: the same vertex of the same ROI and data, under the same protocol.

    a, b: labels. vertices: one protocol, averaged over seeds; one row per vertex.
    """
    key = ["roi_id", "data", "protocol", "vertex"]
    sides = [vertices[vertices["method"] == method] for method in (a, b)]
    merged = sides[0][[*key, *ROI_COLUMNS, "n_seeds", "r"]].merge(
        sides[1][[*key, "r"]], on=key, how="inner", suffixes=("_a", "_b"), validate="one_to_one"
    )
    frame = merged.rename(columns={"r_a": "a", "r_b": "b"})
    both = frame.dropna(subset=["a", "b"])
    return Pairs(
        a=a,
        b=b,
        frame=both[["roi_id", *ROI_COLUMNS, "vertex", "a", "b", "n_seeds"]],
        n_only_a=len(sides[0]) - len(frame),
        n_only_b=len(sides[1]) - len(frame),
        n_constant=len(frame) - len(both),
    )


def measure_rois(several: Sequence[Pairs], bootstrap: Bootstrap) -> list[PairedRois]:
    """Average each ROI of each pair, and bootstrap its mean difference over vertices.

    The draws of an ROI depend on it and on its number of vertices alone, so pairs share them.
    """
    tables: list[dict[str, dict[str, float]]] = [{} for _ in several]
    differences: dict[tuple[str, int], dict[int, Values]] = {}
    for number, pairs in enumerate(several):
        for roi, part in pairs.frame.groupby("roi_id", observed=True):
            a, b = part["a"].to_numpy(), part["b"].to_numpy()
            n_seeds = part["n_seeds"].iloc[0]
            numbers = {"a": a.mean(), "b": b.mean(), "better": (a > b).mean(), "n": len(part)}
            tables[number][str(roi)] = {**numbers, "seeds": n_seeds}
            differences.setdefault((str(roi), len(part)), {})[number] = a - b
    drawn: list[dict[str, Values]] = [{} for _ in several]
    for (roi_id, _), by_pair in differences.items():
        means = draw_means(
            np.stack(list(by_pair.values())), bootstrap.n_draws, _generator(bootstrap, roi_id)
        )
        for number, of_pair in zip(by_pair, means, strict=True):
            drawn[number][roi_id] = of_pair
    return [
        PairedRois(pairs.a, pairs.b, _join(pairs, table), of_pairs, bootstrap.level)
        for pairs, table, of_pairs in zip(several, tables, drawn, strict=True)
    ]


def _join(pairs: Pairs, numbers: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    table = pd.DataFrame.from_dict(
        dict(numbers), "index", columns=["a", "b", "better", "n", "seeds"]
    )
    return rois_of(pairs.frame).join(table)


def _generator(bootstrap: Bootstrap, roi: str) -> np.random.Generator:
    """Seed by the ROI, so that its draws do not depend on what else is in the table."""
    return np.random.default_rng([bootstrap.seed, zlib.crc32(roi.encode())])


def draw_means(values: Values, n_draws: int, generator: np.random.Generator) -> Values:
    """Draw means of values (n_series, n), resampled with replacement and alike in every series.

    Returns (n_series, n_draws).
    """
    n_series, n = values.shape
    size = max(1, BLOCK // n)
    means = np.empty((n_series, n_draws))
    for start in range(0, n_draws, size):
        drawn = generator.integers(n, size=(min(size, n_draws - start), n))
        for series, one in zip(values, means, strict=True):
            one[start : start + size] = series.take(drawn).mean(axis=1)
    return means
