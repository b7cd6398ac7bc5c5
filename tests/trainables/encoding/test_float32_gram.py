"""Float32 Gram matrices: which GPUs use them, and that those accepted give the r of float64."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.builders.pretended_cuda import CUDA, pretended_cuda
from trainables.compute.numerics import FAST, Numerics
from trainables.encoding.features import FeatureStore
from trainables.encoding.float32_gram import InexactGramError, float32_gram, uses_float32
from trainables.encoding.pca import gram
from trainables.encoding.protocols import Split
from trainables.encoding.ridge import Fold, correlate
from trainables.encoding.score_rois import RoiScores, Targets, score_rois
from trainables.spec import Encoding, Roi

N, N_FEATURES, N_VERTICES = 250, 1500, 12
ALPHAS = (0.1, 10.0, 1e3, 1e5)
TRAIN, TEST = torch.arange(50, N), torch.arange(50)
SPLIT = Split(np.arange(50, N), np.arange(50), N)
ROI = Roi("made-up", "s1", "lh", "a", 4, "none")
BOUND = 1.5e-6


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def falling(decades: float) -> Tensor:
    """Features of components whose scales fall by so many decades: (N, N_FEATURES) float32."""
    images = torch.linalg.qr(normal(N, N)).Q
    scales = 1000 * 10 ** torch.linspace(0, -decades, N, dtype=torch.float64)
    return ((images * scales) @ normal(N, N_FEATURES, seed=3)).float()


def spread() -> Tensor:
    """Features of scales from 1e-6 to 1e6, with means a hundred times their scales."""
    scales = 10 ** torch.linspace(-6, 6, N_FEATURES, dtype=torch.float64)
    return ((normal(N, N_FEATURES) + 100) * scales).float()


def responses(X: Tensor) -> Tensor:
    columns = (X.double() - X.double().mean(dim=0)) / X.double().std()
    signal = columns @ normal(X.shape[1], N_VERTICES, seed=1)
    return (signal / signal.std(dim=0) + normal(N, N_VERTICES, seed=2)).float()


def r_of(layer, X: Tensor, k: int) -> Tensor:
    return correlate(Fold.fit(layer, TRAIN, TEST, k), responses(X), ALPHAS)


CASES = {
    "flat": (falling(0), 50, True),
    "flat, all components": (falling(0), 199, True),
    "3 decades, first components": (falling(3), 50, True),
    "1 decade, all components": (falling(1), 199, True),
    "3.5 decades, all components": (falling(3.5), 199, False),
    "5 decades, all components": (falling(5), 199, False),
    "scales and means spread": (spread(), 199, False),
    "not finite": (falling(0).index_fill(1, torch.tensor([3]), torch.nan), 50, False),
    "overflows float32": (falling(0) * 1e18, 50, False),
}


@pytest.mark.parametrize("name", CASES)
def test_an_accepted_matrix_gives_the_r_of_float64(name) -> None:
    X, k, is_accepted = CASES[name]
    chunks = X.split(500, dim=1)
    if not is_accepted:
        with pytest.raises(InexactGramError, match="read the layer in float64"):
            r_of(float32_gram(chunks, k, min(ALPHAS)), X, k)
        return
    found, expected = r_of(float32_gram(chunks, k, min(ALPHAS)), X, k), r_of(gram(chunks), X, k)
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, rtol=0, atol=BOUND)


@pytest.mark.parametrize("X", [falling(0), falling(5), spread()])
def test_the_error_is_estimated_from_above(X) -> None:
    chunks = X.split(500, dim=1)
    layer = float32_gram(chunks, 1, 1e30)
    error = float((layer.K - gram(chunks)).norm())
    assert 0 < error <= layer.error <= 4 * error


def test_rows_that_count_often_multiply_the_error() -> None:
    layer = float32_gram(falling(0).split(500, dim=1), 50, 0.0)
    just_enough = torch.tensor([1.1e3 * layer.error], dtype=torch.float64)
    layer.check(just_enough, torch.ones(3))
    with pytest.raises(InexactGramError):
        layer.check(just_enough, torch.tensor([1.0, 2.0, 1.0]))


@pytest.mark.parametrize(
    ("capability", "is_used"),
    [((7, 0), False), ((7, 5), True), ((8, 0), False), ((8, 6), True), ((8, 9), True),
     ((9, 0), False), ((10, 0), False), ((10, 3), True), ((12, 0), True), ((12, 1), True)],
)  # fmt: skip
def test_gpus_with_slow_float64_use_it(capability, is_used) -> None:
    with pretended_cuda(get_device_capability=lambda device=None: capability):
        assert uses_float32(torch.device("cuda"), FAST) == is_used
        assert not uses_float32(torch.device("cuda"), Numerics(deterministic=True))
        assert not uses_float32(torch.device("cpu"), FAST)


class Counted(FeatureStore):
    """Features that count how often each layer is read."""

    def __init__(self, features: dict[str, Tensor], device: torch.device) -> None:
        super().__init__(features, device)
        self.reads = dict.fromkeys(features, 0)

    def columns(self, layer: str) -> Iterator[Tensor]:
        self.reads[layer] += 1
        return super().columns(layer)


def score(
    device: torch.device, numerics: Numerics = FAST
) -> tuple[list[RoiScores], dict[str, int]]:
    layers = {"flat": falling(0), "spread": spread(), "few": falling(0)[:, :20].contiguous()}
    features = Counted({name: X.to(device) for name, X in layers.items()}, device)
    hemisphere = {"lh": responses(layers["flat"]).numpy()}
    targets = Targets.gather(hemisphere, [(ROI, np.arange(4))], device)
    encoding = Encoding(
        layers=tuple(layers), protocols=("nested", "paper"), alphas=ALPHAS, n_components=1000
    )
    return score_rois(features, targets, SPLIT, encoding, numerics=numerics), features.reads


@pytest.mark.parametrize(
    ("capability", "deterministic", "reads_of_spread"),
    [((8, 9), False, 2), ((8, 9), True, 1), ((9, 0), False, 1)],
)
def test_a_refused_layer_is_read_again(capability, deterministic, reads_of_spread) -> None:
    numerics = Numerics(deterministic=deterministic)
    expected, _ = score(torch.device("cpu"), numerics)
    with pretended_cuda(get_device_capability=lambda device=None: capability):
        found, reads = score(CUDA, numerics)
    assert reads == {"flat": 1, "spread": reads_of_spread, "few": 1}
    for ours, oracle in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.r_by_layer, oracle.r_by_layer, rtol=0, atol=BOUND)
