"""Features of three layers, responses that follow one, and their scores."""

import numpy as np
import torch
from torch import Tensor

from trainables.encoding.features import FeatureStore
from trainables.encoding.protocols import Split
from trainables.encoding.score_rois import RoiScores, Targets, score_rois
from trainables.spec import PROTOCOLS, Encoding, Protocol, Roi

CPU = torch.device("cpu")
LAYERS = ("shallow", "middle", "deep")
ALPHAS = (0.1, 10.0, 1e3, 1e5)
N, N_TRAIN, N_VERTICES = 120, 80, 9


def encoding(*protocols: Protocol, n_components: int = 20, n_folds: int = 5) -> Encoding:
    return Encoding(LAYERS, protocols or PROTOCOLS, n_components, ALPHAS, n_folds)


def roi(roi_name: str, n_vertices: int, hemisphere: str = "lh") -> Roi:
    return Roi("simulated", "subj01", hemisphere, roi_name, n_vertices, "none")


def split(n: int = N, n_train: int = N_TRAIN, seed: int = 0) -> Split:
    order = np.random.default_rng(seed).permutation(n)
    return Split(order[:n_train], order[n_train:], n)


def simulate(
    seed: int = 0, n_vertices: int = N_VERTICES, noise: float = 1.0
) -> tuple[dict[str, Tensor], np.ndarray]:
    """Three layers, of which each third of the vertices follows one, and their responses."""
    generator = torch.Generator().manual_seed(seed)
    layers = {
        name: torch.randn(N, width, generator=generator)
        for name, width in zip(LAYERS, (40, 25, 150), strict=True)
    }
    parts = [
        X @ torch.randn(X.shape[1], n_vertices // 3, generator=generator) / X.shape[1] ** 0.5
        for X in layers.values()
    ]
    Y = torch.cat(parts, dim=1)
    return layers, (Y + noise * torch.randn(Y.shape, generator=generator)).numpy()


def score(layers: dict[str, Tensor], Y: np.ndarray, settings: Encoding, **options):
    rois = options.pop("rois", [(roi("V1v", Y.shape[1]), np.arange(Y.shape[1]))])
    targets = Targets.gather({"lh": Y}, rois, CPU)
    parts = options.pop("split", split())
    return score_rois(FeatureStore(layers), targets, parts, settings, **options)


def only(layers: dict[str, Tensor], Y: np.ndarray, protocol: Protocol, **options) -> RoiScores:
    (scores,) = score(layers, Y, encoding(protocol), **options)
    return scores
