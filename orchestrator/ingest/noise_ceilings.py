"""A vertex's noise ceiling: read as it is, or computed from ncsnr, which repeated trials give.

ncsnr, the noise-ceiling signal-to-noise ratio, is the standard deviation of a vertex's signal over
that of a single trial's noise (Allen et al. 2022). It is estimated from all images with two trials
or more, and the ceiling is then that of the test images, by how many trials each of them has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.cli.values import MOST, integer, shortened
from orchestrator.ingest.arrays import listed, open_array, read_noise_ceiling

Numbers = int | NDArray[np.floating[Any]]
MOST_TRIALS: Final = 1000
"""More trials an image are no data set's: the number was a count of images."""
MIN_REPEATS: Final = 2
MIN_IMAGES: Final = 10
"""Fewer repeated images give no useful estimate."""


def parse_repeats(text: str) -> tuple[int, ...]:
    """Read how many trials responses are means of, as counts of images by 1, 2, 3 … trials.

    ``3`` says that every response is the mean of 3 trials; ``600,900,7341`` that 600 images were
    shown once, 900 twice and 7,341 three times. Raises InputError for anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = (integer(part, 0, MOST) for part in parts)
    counts = tuple(number for number in numbers if number is not None)
    is_one_number = len(counts) == 1
    if len(counts) < len(parts) or not any(counts) or (is_one_number and counts[0] > MOST_TRIALS):
        raise InputError(
            f"--repeats {shortened(text)}: expected one number of trials such as 3, or how many "
            "images were shown once, twice, three times … such as 600,900,7341"
        )
    return (*(0,) * (counts[0] - 1), 1) if is_one_number else counts


def noise_left(trials: NDArray[np.integer[Any]]) -> float:
    """Compute the share of a trial's noise variance that is left in responses: mean of 1 / trials.

    trials: (n_images,) how many trials each response is the mean of.
    """
    return float(np.mean(1 / np.asarray(trials, dtype=np.float64)))


def ceiling_from_ncsnr(ncsnr: NDArray[Any], repeats: Sequence[int]) -> NDArray[np.float64]:
    """Compute the highest r that a perfect model could reach: √(s² / (s² + m)).

    ncsnr: s, (n_vertices,), standard deviation of a vertex's signal over that of a trial's noise;
    NaN where not known. repeats: images by 1, 2, 3 … trials; m is the mean of 1 / trials over
    images, the share of the noise's variance that is left in a response. (Allen et al. 2022.)
    """
    return ceiling_of(ncsnr, noise_left(np.repeat(np.arange(1, len(repeats) + 1), repeats)))


def ceiling_of(ncsnr: NDArray[Any], left: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Compute √(s² / (s² + m)) from ncsnr s, (n_vertices,), and m, the share of noise left.

    left: of all vertices, or (n_vertices,).
    """
    signal = np.square(ncsnr.astype(np.float64))
    return np.asarray(np.sqrt(signal / (signal + left)))


ESTIMATES: Final = {
    "ncsnr": "s² = signal variance / noise variance, the latter pooled within {n} repeated images",
    "split-half": "s² by Spearman-Brown, from the correlation of split halves over {n} repeated "
    "images",
    "given": "s = ncsnr, as given",
}
"""How s is estimated, by name."""


def describe_formula(estimate: str, n_images: int, left: float) -> str:
    """Describe how ceilings were computed, for the manifest.

    estimate: one of ESTIMATES. n_images: with repeats. left: share of noise left in test images.
    """
    how = ESTIMATES[estimate].format(n=n_images)
    return f"r = √(s² / (s² + m)); {how}; m = {left:.6g}, the mean of 1 / trials of test images"


@dataclass
class VarianceSums:
    """Sums over repeated images, of n trials with the mean m: numbers, or (n_vertices,) each."""

    n_images: Numbers
    n_trials: Numbers
    """Σ n."""
    n_squared: Numbers
    """Σ n²."""
    within: Numbers
    """Σ over trials of (x - m)²."""
    total: Numbers
    """Σ n m."""
    between: Numbers
    """Σ n m²."""


def noise_by_variance(sums: VarianceSums) -> NDArray[np.float64]:
    """Estimate the noise variance of a trial, pooled within images: (n_vertices,).

    It is Σ (n - 1) variance / Σ (n - 1), which for equal n is the mean over images.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums.within / (np.asarray(sums.n_trials, np.float64) - sums.n_images))


def ncsnr_by_variance(
    sums: VarianceSums, noise: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Estimate ncsnr by analysis of variance: (n_vertices,); NaN without enough images.

    The signal variance is the total variance less the noise's, at least 0, without the bias of few
    images. noise: (n_vertices,) the noise variance of a trial; None: that of these images.
    """
    n = np.asarray(sums.n_trials, np.float64)
    images = np.asarray(sums.n_images, np.float64)
    if noise is None:
        noise = noise_by_variance(sums)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = sums.between - np.square(sums.total) / n
        signal = (between - (images - 1) * noise) / (n - sums.n_squared / n)
        is_known = (images >= MIN_IMAGES) & (noise > 0)
        return np.where(is_known, np.sqrt(np.maximum(signal, 0) / noise), np.nan)


class RepeatStatistics:
    """Accumulate the trials of repeated images, one image after another, to estimate ncsnr.

    The memory does not depend on the number of images.
    """

    def __init__(self, n_vertices: int) -> None:
        self._sums = VarianceSums(0, 0, 0, *np.zeros((3, n_vertices)))
        self._left_in_halves = 0.0
        self._halves = np.zeros((5, n_vertices))
        """Sums of a, b, a², b² and ab, for means a and b of an image's even and odd trials."""

    @property
    def n_images(self) -> int:
        """Count the images with two trials or more."""
        return int(self._sums.n_images)

    def add(self, trials: NDArray[np.floating[Any]]) -> None:
        """Add an image's trials: (n_trials, n_vertices); one trial alone adds nothing."""
        n = len(trials)
        if n < MIN_REPEATS:
            return
        exact = trials.astype(np.float64)
        mean = exact.mean(axis=0)
        self._sums.n_images += 1
        self._sums.n_trials += n
        self._sums.n_squared += n**2
        self._sums.within += np.square(exact - mean).sum(axis=0)
        self._sums.total += n * mean
        self._sums.between += n * mean**2
        half = n // 2
        a, b = (exact[start : 2 * half : 2].mean(axis=0) for start in (0, 1))
        self._left_in_halves += 1 / half
        self._halves += np.stack([a, b, a * a, b * b, a * b])

    def noise_variance(self) -> NDArray[np.float64]:
        """Estimate the noise variance of a trial; see `noise_by_variance`."""
        return noise_by_variance(self._sums)

    def ncsnr(self, noise: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Estimate ncsnr by analysis of variance; see `ncsnr_by_variance`.

        noise: (n_vertices,) the noise variance of more images than these; None: of these.
        """
        return ncsnr_by_variance(self._sums, noise)

    def ncsnr_of_halves(self) -> NDArray[np.float64]:
        """Estimate ncsnr from the correlation over images of two halves of their trials.

        By the Spearman-Brown formula, k trials have the reliability k s² / (1 + k s²); k is the
        harmonic mean of the trials in a half. (n_vertices,), 0 for a negative correlation.
        """
        if self.n_images < MIN_IMAGES:
            return np.full(self._halves.shape[1], np.nan)
        a, b, aa, bb, ab = self._halves / self.n_images
        left = self._left_in_halves / self.n_images
        with np.errstate(invalid="ignore", divide="ignore"):
            r = (ab - a * b) / np.sqrt((aa - a * a) * (bb - b * b))
            return np.asarray(np.sqrt(np.maximum(r, 0) * left / (1 - r)))


def read_ceiling(
    path: Path, n_vertices: int | None, repeats: Sequence[int] | None
) -> NDArray[np.float32]:
    """Read a hemisphere's noise ceilings, (n_vertices,): the highest r; NaN where not known.

    repeats: None where the file holds ceilings; else it holds ncsnr. Raises InputError for another
    shape or length, or values that can't be.
    """
    if repeats is None:
        return read_noise_ceiling(path, n_vertices)
    ncsnr = open_array(path, "ncsnr")
    if ncsnr.ndim != 1 or not np.issubdtype(ncsnr.dtype, np.floating):
        raise InputError(
            f"{path}: expected one float per vertex, found {ncsnr.dtype} of {ncsnr.shape}; "
            "save it as a 1-D float array"
        )
    if n_vertices is not None and len(ncsnr) != n_vertices:
        raise InputError(
            f"{path}: {len(ncsnr):,} values of ncsnr, but the responses have {n_vertices:,} "
            "vertices; take it from the same subject, at the vertices of challenge space"
        )
    check_ncsnr(path, ncsnr)
    return ceiling_from_ncsnr(ncsnr, repeats).astype(np.float32)


def check_ncsnr(path: Path, ncsnr: NDArray[Any]) -> None:
    """Raise InputError for negative or infinite values of ncsnr; NaN is one that is not known."""
    outside = np.flatnonzero((ncsnr < 0) | np.isinf(ncsnr))
    if len(outside):
        raise InputError(
            f"{path}: expected ratios of 0 or more, found {len(outside):,} negative or infinite, "
            f"at vertices {listed(outside)}; save NaN where ncsnr is not known"
        )
