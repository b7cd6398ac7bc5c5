"""Encoding on a pretended GPU: no mixed devices, the r of the CPU, and few waits of the host."""

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.builders.pretended_cuda import CUDA, pretended_cuda
from trainables.compute import numerics, truncated_eigh
from trainables.encoding import warm_start
from trainables.encoding.features import FeatureStore
from trainables.encoding.pca import read_layer
from trainables.encoding.protocols import Split
from trainables.encoding.refit import fit_pca, project_rows
from trainables.encoding.score_rois import RoiScores, Targets, score_rois
from trainables.spec import Encoding, Roi

N, N_VERTICES = 150, 6
PROTOCOLS = ("nested", "clean", "paper", "released")
ALPHAS = (0.1, 10.0, 1e4)
SPLIT = Split(np.arange(110), np.arange(110, N), N)
ROIS = [(Roi("made-up", "s1", "lh", name, 4, "none"), np.arange(start, start + 4))
        for name, start in (("a", 0), ("b", 2))]  # fmt: skip


def layers() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N, 400, generator=generator) * torch.arange(1, 401) ** -0.7
    return {"many": X, "few": X[:, :30] + 5.0}


def encode(device: torch.device, n_components: int) -> list[RoiScores]:
    features = {name: X.to(device) for name, X in layers().items()}
    signal = layers()["many"] @ torch.randn(400, N_VERTICES, generator=torch.Generator())
    responses = {"lh": (signal / signal.std(dim=0)).numpy()}
    targets = Targets.gather(responses, ROIS, device)
    encoding = Encoding(
        layers=tuple(features), protocols=PROTOCOLS, alphas=ALPHAS, n_components=n_components
    )
    return score_rois(
        FeatureStore(features, device), targets, SPLIT, encoding, keep_predictions=True
    )


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    """Let a hundred rows be truncated as thousands are."""
    for name, value in {"TRUNCATED_ROWS": 0, "SPARE": 4, "BLOCK": 4}.items():
        for module in (numerics, truncated_eigh):
            monkeypatch.setattr(module, name, value, raising=module is numerics)


@pytest.fixture
def warm(monkeypatch) -> list[bool]:
    """Whether the components of folds were found from those of all training images."""
    found: list[bool] = []
    original = truncated_eigh.warm_components

    def noted(*arguments):
        components = original(*arguments)
        found.append(components is not None)
        return components

    monkeypatch.setattr(truncated_eigh, "warm_components", noted)
    return found


@pytest.mark.parametrize(
    ("n_components", "n_warm", "bound"),
    [(1000, 0, 2e-6), (8, 6, 2e-5)],  # the second is that of Lanczos, which the CPU takes
)
def test_a_gpu_scores_as_the_cpu_does(n_components, n_warm, bound, warm) -> None:
    expected = encode(torch.device("cpu"), n_components)
    assert warm == []
    with pretended_cuda() as record:
        found = encode(CUDA, n_components)
    assert warm == [True] * n_warm  # the fits of nested, at the layer of many features
    assert len(found) == len(ROIS) * len(PROTOCOLS)
    for ours, oracle in zip(found, expected, strict=True):
        assert (ours.roi, ours.protocol, ours.layer) == (oracle.roi, oracle.protocol, oracle.layer)
        np.testing.assert_allclose(ours.r_by_layer, oracle.r_by_layer, atol=bound)
        np.testing.assert_allclose(ours.choice_by_layer, oracle.choice_by_layer, atol=bound)
        assert (ours.predictions is None) == (oracle.predictions is None)
    n_folds = len(encode_folds()) * len(layers())
    assert record.kinds("encoding/ridge.py").total() <= 4 * n_folds
    assert record.kinds("encoding/pca.py").total() <= 4 * n_folds


@pytest.mark.parametrize(
    ("capability", "expected"), [((9, 0), True), ((7, 0), True), ((8, 9), False)]
)
def test_a_gpu_with_slow_float64_uses_lanczos(capability, expected) -> None:
    encoding = Encoding(n_components=8)
    with pretended_cuda(get_device_capability=lambda device=None: capability):
        K = torch.zeros(2, 2).cuda()
        assert warm_start._is_warm(K, 110, encoding, numerics.FAST) is expected
    assert not warm_start._is_warm(torch.zeros(2, 2), 110, encoding, numerics.FAST)


def encode_folds() -> list[str]:
    """List the fits of a layer: five folds a protocol, and two refits."""
    return [*(name for name in PROTOCOLS for _ in range(5)), "nested", "clean"]


@pytest.mark.parametrize("layer", ["many", "few"])
def test_a_gpu_fits_a_readout_as_the_cpu_does(layer) -> None:
    X, rows = layers()[layer], torch.arange(100)

    def components(X: Tensor) -> Tensor:
        read = read_layer(X.split(50, dim=1), X.shape[1], N)
        fitted = fit_pca(read, lambda: X.split(50, dim=1), rows, 8)
        return project_rows(fitted.projection, X.split(50, dim=1), torch.arange(100, N))

    expected = components(X)
    with pretended_cuda():
        found = components(X.cuda()).cpu()
    torch.testing.assert_close(found.abs(), expected.abs(), rtol=1e-3, atol=1e-4)
