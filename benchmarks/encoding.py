"""Encode a cell with this package and with plain scikit-learn; compare time and r.

python -m benchmarks.encoding [--plain-folds 1] [--quick]

Plain is what a script does: for every layer and fold a forward pass of the images, PCA, a Ridge
per alpha and a ``pearsonr`` per alpha and vertex. (Images are in memory for both: scripts that
decode files in every pass take longer.) In float64, so that r can be compared; in float32 it is
faster, and where the trunk's features vary little its r is rounding error. All of it takes
about an hour; ``--plain-folds K`` measures K folds of every layer, and scales them. Runs of ours
stand between the plain fits, so that both see the same machine, and both have the same threads:
one, as a trial has on a CPU (more wait for one another when others use the machine).
"""

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast, get_args

import numpy as np
import torch
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from trainables.encoding import gram, score_fold
from trainables.features import FeatureStore, Storage, extract
from trainables.protocols import Split, contiguous_folds
from trainables.scoring import CellScores, Targets, score_cells
from trainables.spec import Cell, Encoding, Protocol
from trainables.trunks import build, normalise

BATCH: Final = 64
CPU: Final = torch.device("cpu")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """Images, responses and cells of a made-up subject; the first cell is the one compared."""

    network: nn.Module
    images: Tensor
    responses: dict[str, Array]
    cells: list[tuple[Cell, Array]]
    split: Split
    encoding: Encoding


@dataclass(frozen=True)
class Fit:
    """One fit of the plain script: a layer, and the rows it is fitted and scored on."""

    layer: str
    train: Tensor
    test: Tensor
    stands_for: float
    """How many fits of the same size it stands for when only some are measured."""


@dataclass(frozen=True)
class Seconds:
    """Time of one run: on the wall, and of all threads together."""

    wall: float
    cpu: float

    def __str__(self) -> str:
        """Read as ``3.0 s (2.9 s of CPU)``."""
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


def timed(function: Callable[[], Any]) -> tuple[Any, Seconds]:
    """Call a function and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def make_problem(options: argparse.Namespace, protocol: Protocol) -> Problem:
    """Make smooth random images, an untrained AlexNet, and responses linear in the pixels."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    coarse = torch.rand(options.images, 3, 14, 14, generator=generator)
    size = (options.size, options.size)
    images = (nn.functional.interpolate(coarse, size, mode="bicubic").clamp(0, 1) * 255).byte()
    sizes = [options.vertices, *rng.integers(50, 550, options.other_cells)]
    signal = coarse.flatten(1).numpy() @ rng.standard_normal((3 * 14 * 14, sum(sizes)))
    Y = signal / signal.std(0) + rng.standard_normal(signal.shape)
    ends = np.cumsum(sizes)
    cells = [
        (Cell("made-up", "s1", "lh", f"roi-{i}", int(n), "none"), np.arange(end - n, end))
        for i, (n, end) in enumerate(zip(sizes, ends, strict=True))
    ]
    order = torch.randperm(options.images, generator=generator).numpy()
    n_train = int(0.85 * options.images)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("alexnet").eval()
    split = Split(order[:n_train], order[n_train:], options.images)
    responses = {"lh": Y.astype(np.float32)}
    return Problem(network, images, responses, cells, split, Encoding(protocols=(protocol,)))


def features_of(problem: Problem, rows: Array) -> FeatureStore:
    """Pass the images of rows through the trunk once."""
    batches = (problem.images[rows[i : i + BATCH]] for i in range(0, len(rows), BATCH))
    storage = Storage(CPU, 16 * 2**30, Path(tempfile.gettempdir()))
    return extract(problem.network, problem.encoding.layers, batches, len(rows), storage)


def encode(problem: Problem, n_cells: int) -> list[CellScores]:
    """Encode cells as a trial does: one pass, one Gram matrix a layer."""
    rows, split = problem.split.compact(problem.encoding.protocols)
    with features_of(problem, rows) as features:
        responses = {"lh": problem.responses["lh"][rows]}
        targets = Targets.gather(responses, problem.cells[:n_cells], CPU)
        return score_cells(features, targets, split, problem.encoding)


def plain_fits(problem: Problem, chosen: CellScores, n_measured: int) -> Iterator[Fit]:
    """List what a script fits: every layer and fold, and for ``nested`` the chosen layer again."""
    split, encoding = problem.split, problem.encoding
    rows = split.train if chosen.protocol == "nested" else split.test
    for layer in encoding.layers:
        folds = list(contiguous_folds(rows, encoding.n_folds))[:n_measured]
        for train, test in folds:
            yield Fit(layer, train, test, encoding.n_folds / len(folds))
    if chosen.protocol == "nested":
        train, test = torch.from_numpy(split.train), torch.from_numpy(split.test)
        yield Fit(chosen.layer, train, test, 1.0)


def plain_fit(problem: Problem, fit: Fit, dtype: str) -> Array:
    """Fit PCA and ridge as scripts do. Returns r, (n_alphas, n_vertices)."""
    Y = problem.responses["lh"][:, problem.cells[0][1]].astype(dtype)
    extractor = create_feature_extractor(problem.network, [fit.layer])
    train = forward(extractor, problem.images[fit.train]).astype(dtype)
    test = forward(extractor, problem.images[fit.test]).astype(dtype)
    pca = PCA(min(problem.encoding.n_components, *train.shape))
    train, test = pca.fit_transform(train), pca.transform(test)
    measured, r = Y[fit.test], []
    for alpha in problem.encoding.alphas:
        predicted = Ridge(alpha=alpha).fit(train, Y[fit.train]).predict(test)
        r.append([pearsonr(predicted[:, v], measured[:, v])[0] for v in range(Y.shape[1])])
    return np.array(r)


def forward(extractor: nn.Module, images: Tensor) -> Array:
    """Pass images through a trunk up to one layer: (n_images, n_features) float32."""
    with torch.no_grad():
        parts = [
            next(iter(extractor(normalise(batch)).values())).flatten(1).numpy()
            for batch in torch.split(images, BATCH)
        ]
    return np.concatenate(parts)


def differences(problem: Problem, fits: Sequence[Fit], plain: Sequence[Array]) -> list[float]:
    """Return the largest difference in r of each fit, over alphas and vertices."""
    encoding, vertices = problem.encoding, problem.cells[0][1]
    Y = torch.from_numpy(problem.responses["lh"][:, vertices])
    off = []
    with features_of(problem, np.arange(len(problem.images))) as features:
        grams = {layer: gram(features.columns(layer)) for layer in encoding.layers}
    for fit, r in zip(fits, plain, strict=True):
        rows = (fit.train, fit.test)
        ours = score_fold(grams[fit.layer], rows, Y, encoding.alphas, encoding.n_components)
        off.append(float(np.nanmax(np.abs(ours.numpy() - r))))
    return off


@dataclass(frozen=True)
class Times:
    """Every run's time: ours on the first cell and on all cells, and the plain fits."""

    one_cell: list[Seconds]
    all_cells: list[Seconds]
    plain: list[Seconds]

    def report(self, problem: Problem, fits: Sequence[Fit]) -> str:
        """Say the ratio on the wall and in CPU time, with the spread over runs of ours."""
        lines = []
        for clock in ("wall", "cpu"):
            one, every = (
                [getattr(run, clock) for run in runs] for runs in (self.one_cell, self.all_cells)
            )
            measured = [getattr(run, clock) for run in self.plain]
            plain = sum(s * fit.stands_for for s, fit in zip(measured, fits, strict=True))
            more = statistics.median(b / a - 1 for a, b in zip(one, every, strict=True))
            lines.append(
                f"  {clock:4}: plain {plain:7.1f} s (measured {sum(measured):.1f}), "
                f"ours {statistics.median(one):5.2f} s ({min(one):.2f} to {max(one):.2f}), ratio "
                f"{plain / statistics.median(one):.0f} ({plain / max(one):.0f} to "
                f"{plain / min(one):.0f}); {len(problem.cells) - 1} more cells cost {more:+.0%}"
            )
        return "\n".join(lines)


def compare(options: argparse.Namespace, protocol: Protocol) -> None:
    """Run ours before and between equal shares of the plain fits, and print the comparison."""
    problem = make_problem(options, protocol)
    chosen = encode(problem, 1)[0]  # also warms up
    fits = list(plain_fits(problem, chosen, options.plain_folds))
    times, plain = Times([], [], []), []
    for share in np.array_split(np.arange(len(fits)), options.repeats):
        times.one_cell.append(timed(partial(encode, problem, 1))[1])
        times.all_cells.append(timed(partial(encode, problem, len(problem.cells)))[1])
        print(f"  ours: {times.one_cell[-1]}, all cells: {times.all_cells[-1]}", flush=True)
        for number in share:
            r, seconds = timed(partial(plain_fit, problem, fits[number], options.plain_dtype))
            plain.append(r)
            times.plain.append(seconds)
            print(f"  plain fit {number + 1}, {fits[number].layer}: {seconds}", flush=True)
    n_all = sum(cell.n_vertices for cell, _ in problem.cells)
    print(
        f"{protocol}: {options.images} images at {options.size} px, {options.vertices} vertices "
        f"({n_all} in all cells), {torch.get_num_threads()} threads; plain {options.plain_dtype}: "
        f"{len(fits)} fits measured for {sum(fit.stands_for for fit in fits):.0f}"
    )
    print(times.report(problem, fits))
    print(f"  largest difference in r: {max(differences(problem, fits, plain)):.1e}", flush=True)


def main() -> None:
    """Read the options and compare under each protocol."""
    parser = argparse.ArgumentParser(description="Encoding against plain scikit-learn.")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--vertices", type=int, default=700)
    parser.add_argument("--other-cells", type=int, default=20)
    parser.add_argument("--plain-folds", type=int, default=5, help="folds of a layer to measure")
    parser.add_argument("--plain-dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3, help="runs of ours")
    parser.add_argument("--protocols", nargs="+", choices=get_args(Protocol)[:2])
    parser.add_argument("--quick", action="store_true", help="200 images at 64 px, 50 vertices")
    options = parser.parse_args()
    if options.quick:
        options.images, options.size, options.vertices = 200, 64, 50
    warnings.filterwarnings("ignore", message="An input array is")  # nearly constant predictions
    torch.set_num_threads(options.threads)
    with threadpool_limits(options.threads):
        for protocol in options.protocols or get_args(Protocol)[:2]:
            compare(options, cast(Protocol, protocol))


if __name__ == "__main__":
    main()
