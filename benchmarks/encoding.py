"""Encode an ROI with this package and with plain scikit-learn; compare time and r.

python -m benchmarks.encoding [--plain-folds 5] [--quick]

The plain side is a typical script: for every protocol, layer and fold it reads the images from PNG
files (425 px, as in NSD), passes them through the backbone up to the layer, fits a pipeline of PCA
and Ridge for every alpha, and computes ``pearsonr`` for every vertex; ``nested`` fits every layer
once more for the test images. This package reads the ingested uint8 images and computes the same
table: r of ``nested`` and ``paper`` at every layer. PCA is measured once per fold and counted for
every alpha. Ratios are also given to a script that reuses PCA for all alphas, and to one that in
addition has its images in memory.

All folds take two hours, so by default one fold of every layer is measured and scaled. Both sides
run alternately and with one thread, as a trial does on a CPU, in float64 so that r is comparable.
"""

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch

from benchmarks.encoding_problem import Array, Problem, make_problem
from benchmarks.plain_encoding import Fit, FitTimes, PlainScript, Seconds, plain_fits, timed
from trainables.compute.allocator import keep_freed_memory
from trainables.compute.device import use_threads
from trainables.encoding.features import FeatureStore, Storage, extract
from trainables.encoding.pca import read_layer
from trainables.encoding.ridge import score_fold
from trainables.encoding.score_rois import RoiScores, Targets, score_rois
from trainables.worker.score_subject import FEATURE_BATCH

CPU: Final = torch.device("cpu")
PARTS: Final = ("whole", "reading", "pca")


def features_of(problem: Problem, rows: Array) -> FeatureStore:
    """Pass the images of rows through the backbone once."""
    images = torch.from_numpy(np.load(problem.ingested)[rows])
    storage = Storage(CPU, 16 * 2**30, Path(tempfile.gettempdir()))
    layers = problem.encoding.layers
    return extract(
        problem.network, layers, torch.split(images, FEATURE_BATCH["cpu"]), len(rows), storage
    )


def encode(problem: Problem, n_rois: int) -> list[RoiScores]:
    """Encode ROIs as a trial does, with one pass and one Gram matrix per layer."""
    rows, split = problem.split.compact(problem.encoding.protocols)
    with features_of(problem, rows) as features:
        responses = {"lh": problem.responses["lh"][rows]}
        targets = Targets.gather(responses, problem.rois[:n_rois], CPU)
        return score_rois(features, targets, split, problem.encoding)


def differences(problem: Problem, fits: Sequence[Fit], plain: Sequence[Array]) -> list[float]:
    """Return the largest difference in r over alphas and vertices, for each fit."""
    encoding, vertices = problem.encoding, problem.rois[0][1]
    Y = torch.from_numpy(problem.responses["lh"][:, vertices])
    off = []
    with features_of(problem, np.arange(len(problem.files))) as features:
        layers = {
            layer: read_layer(features.columns(layer), features.n_features(layer), len(Y))
            for layer in encoding.layers
        }
    for fit, r in zip(fits, plain, strict=True):
        rows = (fit.train, fit.test)
        ours = score_fold(layers[fit.layer], rows, Y, encoding.alphas, encoding.n_components)
        off.append(float(np.nanmax(np.abs(ours.numpy() - r))))
    return off


@dataclass(frozen=True)
class Times:
    """Times of all runs: this package on the first ROI and on all ROIs, and the plain fits."""

    one_roi: list[Seconds]
    all_rois: list[Seconds]
    plain: list[FitTimes]

    def report(self, problem: Problem, fits: Sequence[Fit]) -> str:
        """Format the ratios, their spread over runs, and the cost of the other ROIs."""
        lines = []
        for clock in ("wall", "cpu"):
            one, every = (
                [getattr(run, clock) for run in runs] for runs in (self.one_roi, self.all_rois)
            )
            more = statistics.median(b / a - 1 for a, b in zip(one, every, strict=True))
            lines.append(
                f"{clock} time: ours {spread(one)} s; "
                f"{len(problem.rois) - 1} more ROIs cost {more:+.0%}"
            )
            once, reading, pca = (self._total(part, clock, fits) for part in PARTS)
            alphas = len(problem.encoding.alphas)
            for what, seconds in (
                ("a pipeline of PCA and Ridge for each alpha", once + (alphas - 1) * pca),
                ("PCA once per fold", once),
                ("PCA once per fold, images in memory", once - reading),
            ):
                lines.append(f"  plain, {what}: {seconds:,.0f} s, {ratio(seconds, one)} times")
        return "\n".join(lines)

    def _total(self, part: str, clock: str, fits: Sequence[Fit]) -> float:
        """Sum a part of the plain fits' time, weighted by the number of fits each represents."""
        measured: list[float] = [getattr(getattr(times, part), clock) for times in self.plain]
        return sum(s * fit.stands_for for s, fit in zip(measured, fits, strict=True))


def spread(runs: Sequence[float]) -> str:
    """Format runs as their median and range."""
    return f"{statistics.median(runs):.1f} ({min(runs):.1f} to {max(runs):.1f})"


def ratio(plain: float, ours: Sequence[float]) -> str:
    """Format the speed-up, with its range over runs."""
    return spread(sorted(plain / one for one in ours))


def compare(options: argparse.Namespace, home: Path) -> None:
    """Alternate this package with equal shares of the plain fits, and print the comparison."""
    problem = make_problem(options, home)
    encode(problem, 1)  # warms up
    fits, script = list(plain_fits(problem, options.plain_folds)), PlainScript(problem)
    times, plain = Times([], [], []), []
    for share in np.array_split(np.arange(len(fits)), options.repeats):
        times.one_roi.append(timed(partial(encode, problem, 1))[1])
        times.all_rois.append(timed(partial(encode, problem, len(problem.rois)))[1])
        print(f"  ours: {times.one_roi[-1]}, all ROIs: {times.all_rois[-1]}", flush=True)
        for number in share:
            r, took = script.timed_fit(fits[number])
            plain.append(r)
            times.plain.append(took)
            name = f"{fits[number].protocol}, {fits[number].layer}"
            print(f"  plain {name}: {took.whole}, PCA {took.pca}", flush=True)
    n_all = sum(roi.n_vertices for roi, _ in problem.rois)
    print(
        f"{options.images} images at {options.size} px, {options.vertices} vertices ({n_all} in "
        f"all ROIs), {torch.get_num_threads()} threads; {len(fits)} plain fits measured for "
        f"{sum(fit.stands_for for fit in fits):.0f}"
    )
    print(times.report(problem, fits))
    print(f"  largest difference in r: {max(differences(problem, fits, plain)):.1e}", flush=True)


def main() -> None:
    """Read the options and compare."""
    parser = argparse.ArgumentParser(description="Encoding against plain scikit-learn.")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--vertices", type=int, default=700, help="of the ROI that is compared")
    parser.add_argument(
        "--other-vertices", type=int, help="of the other ROIs (default: a simulated subject's)"
    )
    parser.add_argument("--plain-folds", type=int, default=1, help="folds of a layer to measure")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="runs of ours")
    parser.add_argument("--quick", action="store_true", help="200 images at 64 px, 50 vertices")
    options = parser.parse_args()
    if options.quick:
        options.images, options.size, options.vertices = 200, 64, 50
    warnings.filterwarnings("ignore", message="An input array is")  # nearly constant predictions
    use_threads(options.threads)
    keep_freed_memory()  # as a worker does; both sides gain
    with tempfile.TemporaryDirectory() as home:
        compare(options, Path(home))


if __name__ == "__main__":
    main()
