"""Encoding by a plain scikit-learn script, which reads the images again for every fit."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from scipy.stats import pearsonr
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from benchmarks.encoding_problem import Array, Problem
from orchestrator.ingest.images import decode_image
from trainables.encoding.protocols import contiguous_folds
from trainables.models.normalisation import normalise
from trainables.spec import Protocol

BATCH: Final = 64


@dataclass(frozen=True)
class Fit:
    """One fit of the plain script: a layer, and the rows it is fitted and scored on."""

    protocol: Protocol
    layer: str
    train: Tensor
    test: Tensor
    stands_for: float
    """Number of fits of the same size that it represents when only some are measured."""


@dataclass(frozen=True)
class Seconds:
    """Time of one run: wall time, and CPU time of all threads."""

    wall: float
    cpu: float

    def __add__(self, other: "Seconds") -> "Seconds":
        """Add two runs' times."""
        return Seconds(self.wall + other.wall, self.cpu + other.cpu)

    def __str__(self) -> str:
        """Format as ``3.0 s (2.9 s of CPU)``."""
        return f"{self.wall:.1f} s ({self.cpu:.1f} s of CPU)"


NOTHING: Final = Seconds(0.0, 0.0)


def timed(function: Callable[[], Any]) -> tuple[Any, Seconds]:
    """Call a function and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - cpu)


def plain_fits(problem: Problem, n_measured: int) -> Iterator[Fit]:
    """List the fits of a script: every layer and fold, and for ``nested`` each layer once more."""
    split, n_folds = problem.split, problem.encoding.n_folds
    rows: dict[Protocol, Array] = {"nested": split.train, "paper": split.test}
    train, test = torch.from_numpy(split.train), torch.from_numpy(split.test)
    for layer in problem.encoding.layers:
        for protocol, choosing in rows.items():
            folds = list(contiguous_folds(choosing, n_folds))[:n_measured]
            for fitted, held_out in folds:
                yield Fit(protocol, layer, fitted, held_out, n_folds / len(folds))
        yield Fit("nested", layer, train, test, 1.0)


@dataclass(frozen=True)
class FitTimes:
    """Time of one fit by part."""

    whole: Seconds
    reading: Seconds
    """Reading images from their files."""
    pca: Seconds
    """Fitting PCA once and transforming both sides."""


class PlainScript:
    """Fit PCA and ridge as scripts do, and time each part."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._reading = NOTHING

    def timed_fit(self, fit: Fit) -> tuple[Array, FitTimes]:
        """Fit and score one layer on one fold; return r, (n_alphas, n_vertices), and times."""
        self._reading = NOTHING
        (r, pca), whole = timed(partial(self._fit, fit))
        return r, FitTimes(whole, self._reading, pca)

    def _fit(self, fit: Fit) -> tuple[Array, Seconds]:
        problem = self._problem
        Y = problem.responses["lh"][:, problem.rois[0][1]].astype(np.float64)
        extractor = create_feature_extractor(problem.network, [fit.layer])
        train, test = (self._forward(extractor, rows) for rows in (fit.train, fit.test))
        pca = PCA(min(problem.encoding.n_components, *train.shape), svd_solver="full")
        (train, test), seconds = timed(lambda: (pca.fit_transform(train), pca.transform(test)))
        measured, r = Y[fit.test], []
        for alpha in problem.encoding.alphas:
            predicted = Ridge(alpha=alpha).fit(train, Y[fit.train]).predict(test)
            r.append([pearsonr(predicted[:, v], measured[:, v])[0] for v in range(Y.shape[1])])
        return np.array(r), seconds

    def _forward(self, extractor: nn.Module, rows: Tensor) -> Array:
        """Pass images through a backbone up to one layer: (n_images, n_features) float64."""
        parts = []
        for batch in torch.split(rows, BATCH):
            images, seconds = timed(partial(self._read, batch))
            self._reading += seconds
            with torch.no_grad():
                activation = next(iter(extractor(normalise(images)).values()))
            parts.append(activation.flatten(1).numpy())
        return np.concatenate(parts).astype(np.float64)

    def _read(self, rows: Tensor) -> Tensor:
        files = [self._problem.files[row] for row in rows.tolist()]
        return torch.from_numpy(np.stack([decode_image(f, self._problem.size) for f in files]))
