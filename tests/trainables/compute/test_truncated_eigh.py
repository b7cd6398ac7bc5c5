"""The largest components, found by truncation or whole, against NumPy's decomposition."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainables.compute import numerics, truncated_eigh
from trainables.compute.numerics import FAST, Numerics, is_truncated
from trainables.compute.truncated_eigh import dominant_vectors, leading_components

N, K = 400, 40


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    """What thousands of rows have, on four hundred."""
    for name, value in {"TRUNCATED_ROWS": 0, "SPARE": 16, "BLOCK": 16}.items():
        for module in (numerics, truncated_eigh):
            monkeypatch.setattr(module, name, value, raising=module is numerics)


def symmetric(values: Tensor, seed: int = 0) -> Tensor:
    """A matrix of these eigenvalues, with random vectors."""
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(N, N, generator=generator, dtype=torch.float64)).Q
    return Q * values @ Q.T


FALLING = torch.arange(1, N + 1, dtype=torch.float64)
SPECTRA = {
    "by a power of the rank": FALLING**-1.2,
    "by six decades": torch.logspace(0, -6, N, dtype=torch.float64),
    "each value ten times": torch.ceil(FALLING / 10) ** -2,
    "by a decade in six values": 10.0 ** (-FALLING / 6),
    "none: all alike": torch.ones(N, dtype=torch.float64),
    "of low rank": torch.where(FALLING <= 30, 1 / FALLING, 0.0),
    "with negative ones": torch.where(FALLING <= 200, FALLING**-1.2, -(FALLING**-2)),
}


@pytest.mark.parametrize("name", SPECTRA)
def test_components_are_numpys(name) -> None:
    A = symmetric(SPECTRA[name])
    values, vectors = (found.numpy() for found in leading_components(A.clone(), K))
    expected = np.linalg.eigvalsh(A.numpy())[::-1][:K]
    np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(K), atol=1e-9)
    residual = np.linalg.norm(A.numpy() @ vectors - vectors * values, axis=0)
    assert (residual <= truncated_eigh.RESIDUAL * np.maximum(values, 1e-9)).all()


@pytest.mark.parametrize(
    ("name", "precisions", "is_enough"),
    [
        ("by a power of the rank", ["float32"], True),
        ("by six decades", ["float32"], True),
        ("by a decade in six values", ["float32", "float64"], True),
        ("of low rank", ["float32"], False),
    ],
)
def test_float32_is_left_where_it_is_not_enough(name, precisions, is_enough, monkeypatch) -> None:
    tried, original = [], dominant_vectors

    def note(A: Tensor, k: int, residual: float) -> Tensor | None:
        tried.append(str(A.dtype).removeprefix("torch."))
        return original(A, k, residual)

    monkeypatch.setattr(truncated_eigh, "dominant_vectors", note)
    found = truncated_eigh._truncated(symmetric(SPECTRA[name]), K)
    assert tried == precisions
    assert (found is not None) is is_enough


def test_a_spectrum_that_hardly_falls_is_decomposed_whole() -> None:
    noise = torch.randn(N, 4 * N, generator=torch.Generator().manual_seed(0))
    assert dominant_vectors(noise @ noise.T, K, 0.005) is None


def test_the_same_matrix_gives_the_same_components() -> None:
    A = symmetric(SPECTRA["by a power of the rank"])
    first, second = (leading_components(A.clone(), K) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("n", "k", "expected"),
    [(6691, 1000, True), (5800, 1000, True), (5700, 1000, False), (2999, 100, False)],
)
def test_few_components_of_many_rows_are_found_in_part(n, k, expected, monkeypatch) -> None:
    monkeypatch.undo()
    assert is_truncated(n, k, FAST) is expected
    assert not is_truncated(n, k, Numerics(deterministic=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_finds_the_same_components() -> None:
    A = symmetric(SPECTRA["by a power of the rank"])
    values, vectors = leading_components(A.cuda(), K)
    assert vectors.is_cuda
    expected = np.linalg.eigvalsh(A.numpy())[::-1][:K]
    np.testing.assert_allclose(values.cpu().numpy(), expected, rtol=1e-4)
