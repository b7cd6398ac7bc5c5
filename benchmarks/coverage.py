"""How often intervals of a difference hold the truth, where two methods are equally good.

python -m benchmarks.coverage [--repeats 400]

Errors of prediction are shared by the vertices of an ROI, as an image that is hard to predict is
hard everywhere; each seed and each subject has noise of its own; subjects see partly the same test
images. Three intervals are compared: that of the program, the percentiles of a bootstrap of
subjects, seeds and images, and the percentiles of a bootstrap of vertices.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestrator.scores.statistics.hierarchical_interval import Uncertainty, mean_uncertainty
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses, standardise
from orchestrator.scores.statistics.roi_differences import Images, TrialScore, subtract

NOISE: Final = 1.0
"""Standard deviation of what is not in the stimulus; the signal has 1."""
PREDICTION: Final = 0.6
"""Standard deviation of the error of prediction that is shared by vertices, without spreads."""
N_DRAWS: Final = 400
NODES, SHARES = np.polynomial.hermite_e.hermegauss(9)
"""Quadrature of a normal distribution: the expectation over seeds."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Design:
    """A comparison: how many subjects and seeds, and how much they differ."""

    n_subjects: int
    n_seeds: int
    subject_spread: float = 0.1
    """Standard deviation of the relative size of the error of prediction, over subjects."""
    seed_spread: float = 0.05
    shared_images: float = 0.5
    """Share of the test images that all subjects see."""
    n_images: int = 200
    """Test images of a subject."""
    n_vertices: int = 40


DESIGNS: Final = tuple(
    Design(n_subjects, n_seeds) for n_subjects in (1, 2, 3, 4, 8) for n_seeds in (1, 3, 5)
)


@dataclass(frozen=True)
class Subject:
    """A subject's effects of images, by method and seed."""

    r: Values
    """(2, n_seeds) mean r over vertices."""
    effects: Values
    """(2, n_seeds, n_images)."""
    numbers: np.ndarray[Any, np.dtype[np.int64]]
    by_vertex: Values
    """(n_vertices,) difference in r, averaged over seeds."""
    expected: float
    """The difference over all images, and over all seeds unless there is one."""

    def trials(self, method: int) -> list[TrialScore]:
        """List the scores of a method, by seed."""
        found = zip(self.r[method], self.effects[method], strict=True)
        return [
            TrialScore(str(seed), float(r), Images.of_rows(self.numbers, effects))
            for seed, (r, effects) in enumerate(found)
        ]


def main() -> None:
    """Print how often each interval holds the truth, design by design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    print("subjects seeds    program percentiles  vertices   the program's covers")
    for design in DESIGNS:
        held, covers = coverage(design, repeats)
        shares = "".join(f"{share:12.1%}" for share in held)
        print(f"{design.n_subjects:8} {design.n_seeds:6}{shares}   {covers}")


def coverage(
    design: Design, repeats: int, seed: int = 0, *, percentiles: bool = True
) -> tuple[Values, str]:
    """Return the share of comparisons whose interval holds the truth, for the three intervals.

    The truth is a difference of 0 where the interval covers subjects, and else that of these
    subjects over all images, and over all seeds where it covers seeds. percentiles: False saves the
    bootstrap of subjects, seeds and images, half of the time, and returns NaN for it.
    """
    held = np.zeros(3)
    for subjects, found, middle, truth, rng in _comparisons(design, repeats, seed):
        unknown = (np.nan, np.nan)
        bootstrap = (
            _percentiles(subjects, rng, resample=found.covers_subjects) if percentiles else unknown
        )
        vertices = _vertices(subjects, rng)
        ours = (middle - found.half_width, middle + found.half_width)
        held += np.array([low <= truth <= high for low, high in (ours, bootstrap, vertices)])
    held[1] = held[1] if percentiles else np.nan
    return held / repeats, ", ".join(found.levels)


def program_coverage(design: Design, repeats: int, seed: int = 0) -> float:
    """Return the share of comparisons whose interval, of the program alone, holds the truth."""
    found = _comparisons(design, repeats, seed)
    return float(
        np.mean([abs(middle - truth) <= one.half_width for _, one, middle, truth, _ in found])
    )


def _comparisons(
    design: Design, repeats: int, seed: int
) -> Iterator[tuple[list[Subject], Uncertainty, float, float, np.random.Generator]]:
    """Yield simulated comparisons: subjects, interval, its middle, the truth, and a generator."""
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        subjects = list(_simulate(design, rng))
        found, middle = program_interval(subjects)
        expected = float(np.mean([one.expected for one in subjects]))
        yield subjects, found, middle, 0.0 if found.covers_subjects else expected, rng


def _simulate(design: Design, rng: np.random.Generator) -> Iterator[Subject]:
    """Yield subjects whose two methods differ by chance alone."""
    n_shared = round(design.shared_images * design.n_images)
    difficulty = rng.standard_normal((2, n_shared))
    for number in range(design.n_subjects):
        own = np.arange(design.n_images - n_shared) + n_shared + number * design.n_images
        numbers = np.concatenate([np.arange(n_shared), own])
        size = PREDICTION * np.exp(design.subject_spread * rng.standard_normal(2))
        sizes = size[:, None] * np.exp(
            design.seed_spread * rng.standard_normal((2, design.n_seeds))
        )
        images = np.concatenate([difficulty, rng.standard_normal((2, len(own)))], axis=1)
        over_seeds = size[:, None] * np.exp(design.seed_spread * NODES)
        expected = _r(over_seeds) @ SHARES / SHARES.sum() if design.n_seeds > 1 else _r(sizes[:, 0])
        signal = rng.standard_normal((design.n_images, design.n_vertices))
        yield _measure(sizes, images, numbers, float(expected[0] - expected[1]), signal, rng)


def _r(sizes: Values) -> Values:
    """Return r over all images for errors of these sizes."""
    r: Values = 1 / np.sqrt((1 + NOISE**2) * (1 + sizes**2))
    return r


def _measure(
    sizes: Values,
    images: Values,
    numbers: Any,
    expected: float,
    signal: Values,
    rng: np.random.Generator,
) -> Subject:
    """Draw responses and predictions of a subject, and measure the effects of its images.

    sizes: (2, n_seeds) of the error. images: (2, n_images), how each method errs on each. signal:
    (n_images, n_vertices), what a perfect model would predict.
    """
    n_images, n_vertices = signal.shape
    measured = signal + NOISE * rng.standard_normal(signal.shape)
    responses, standard = MeasuredResponses(measured), standardise(measured)
    every = np.ones(n_vertices, bool)
    r = np.empty((*sizes.shape, n_vertices))
    effects = np.empty((*sizes.shape, n_images))
    for method, seed in np.ndindex(*sizes.shape):
        # Half of the variance of the error is shared by seeds, and all of it by vertices.
        error = (images[method] + rng.standard_normal(n_images)) / np.sqrt(2)
        predicted = signal + sizes[method, seed] * error[:, None]
        _, effects[method, seed] = responses.mean_r(predicted, every)
        r[method, seed] = (standard * standardise(predicted)).mean(axis=0)
    by_vertex = r[0].mean(axis=0) - r[1].mean(axis=0)
    return Subject(r.mean(axis=-1), effects, numbers, by_vertex, expected)


def program_interval(subjects: list[Subject]) -> tuple[Uncertainty, float]:
    """Compute the interval of the program, and its middle."""
    rois = [
        subtract(("nsd", f"subj{number}"), *map(one.trials, (0, 1)))
        for number, one in enumerate(subjects)
    ]
    middle = float(np.mean([one.difference for one in rois]))
    return mean_uncertainty(rois, [1 / len(rois)] * len(rois)), middle


def _percentiles(
    subjects: list[Subject], rng: np.random.Generator, *, resample: bool
) -> tuple[float, float]:
    """Resample subjects, the seeds of each, and images, which subjects share."""
    n, n_seeds = len(subjects), subjects[0].r.shape[1]
    counts = rng.poisson(1.0, (N_DRAWS, 1 + max(int(one.numbers.max()) for one in subjects)))
    chosen = rng.integers(n, size=(N_DRAWS, n)) if resample else np.tile(np.arange(n), (N_DRAWS, 1))
    drawn = np.empty((n, N_DRAWS, n_seeds))
    for number, one in enumerate(subjects):
        effects, r = one.effects[0] - one.effects[1], one.r[0] - one.r[1]
        drawn[number] = r + (counts[:, one.numbers] - 1) @ effects.T
    seeds = rng.integers(n_seeds, size=(N_DRAWS, n, n_seeds))
    draw = np.arange(N_DRAWS)[:, None, None]
    means = drawn[chosen[:, :, None], draw, seeds].mean(axis=(1, 2))
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _vertices(subjects: list[Subject], rng: np.random.Generator) -> tuple[float, float]:
    """Resample vertices as if they were independent."""
    drawn = [
        one.by_vertex[rng.integers(len(one.by_vertex), size=(N_DRAWS, len(one.by_vertex)))].mean(
            axis=1
        )
        for one in subjects
    ]
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
