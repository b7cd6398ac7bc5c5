"""Components by filtered subspace iteration, against NumPy's, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.builders.pretended_cuda import pretended_cuda
from tests.builders.ridge_cases import ALPHAS
from trainables.compute import truncated_eigh, warm_subspace
from trainables.compute.truncated_eigh import leading_components
from trainables.compute.warm_subspace import RoughStart, Start, block_size, warm_components
from trainables.encoding.pca import PrincipalComponents
from trainables.encoding.ridge import Fold, correlate

N, K = 301, 30
TEST, TRAIN = torch.arange(60), torch.arange(60, N)
RANK = torch.arange(1, 2 * N + 1, dtype=torch.float64)
SPECTRA = {
    "nearly flat": RANK**-0.2,
    "by a power of the rank": RANK**-1.2,
    "steep": RANK**-3.6,
    "by six decades": torch.logspace(0, -12, 2 * N, dtype=torch.float64),
    "clustered": torch.ceil(RANK / 20) ** -1.6,
    "a cluster at the cut": torch.where(RANK <= K // 2, 100.0, 1.0) * RANK**-0.6,
}
ROUNDS = {"nearly flat": (2, None), "steep": (2, 2), "a cluster at the cut": (2, 2)}
"""Rounds that spectra take from the start of a fold, and from a rough one, where not one; None:
refused after two."""


FACTORS = {Tensor.matmul: (0, 1), Tensor.addmm_: (1, 2)}
"""Which arguments of products are factors."""


class EmulatedTf32(TorchFunctionMode):
    """Rounds the factors of products to 10 bits of mantissa, where torch is told to use TF32."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if torch.backends.cuda.matmul.fp32_precision == "tf32":
            factors = FACTORS.get(func, ())
            args = [self.rounded(one) if i in factors else one for i, one in enumerate(args)]
        return func(*args, **(kwargs or {}))

    @staticmethod
    def rounded(A: Tensor) -> Tensor:
        mantissa, exponent = torch.frexp(A)
        return torch.ldexp(torch.round(mantissa * 2**11), exponent - 11)


@pytest.fixture
def tf32(monkeypatch):
    """Compute as on a GPU that has TF32."""
    monkeypatch.setattr(warm_subspace, "has_tf32", lambda device: True)
    with EmulatedTf32():
        yield


def centred(G: Tensor) -> Tensor:
    mean = G.mean(dim=0)
    G = G - mean
    return G - (mean - mean.mean())[:, None]


def eigenpairs(G: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = np.linalg.eigh(G.numpy())
    return torch.from_numpy(values[::-1].copy()), torch.from_numpy(vectors[:, ::-1].copy())


class Problem:
    """A Gram matrix of a known spectrum; a fold of it; and responses."""

    def __init__(self, name: str) -> None:
        generator = torch.Generator().manual_seed(0)
        X = torch.randn(N, 2 * N, generator=generator, dtype=torch.float64)
        X *= 30 * SPECTRA[name].sqrt()
        signal = X @ torch.randn(2 * N, 20, generator=generator, dtype=torch.float64)
        self.Y = (signal / signal.std(0) + torch.randn(N, 20, generator=generator)).float()
        G = X @ X.T
        self.A, mean = centred(G[TRAIN][:, TRAIN]), G[TRAIN][:, TRAIN].mean(dim=0)
        self.B = G[TEST][:, TRAIN] - mean
        self.B -= self.B.mean(dim=1, keepdim=True)
        values, vectors = eigenpairs(centred(G))
        m = block_size(K)
        self.start = Start(values[:m], vectors[:, :m].float(), N).of_rows(TRAIN)

    def r(self, values: Tensor, vectors: Tensor) -> Tensor:
        scores = self.B @ vectors / (values * values[:1]).sqrt()
        scores -= scores.mean(dim=0)
        components = PrincipalComponents(values, vectors.float(), scores.float())
        return correlate(Fold(components, TRAIN, TEST), self.Y, ALPHAS)

    def expected(self) -> Tensor:
        values, vectors = eigenpairs(self.A)
        return self.r(values[:K], vectors[:, :K])


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("is_rough", [False, True], ids=["a fold's start", "a rough start"])
def test_r_is_that_of_all_eigenpairs(name, is_rough, tf32, monkeypatch) -> None:
    problem, filtered, rounds = Problem(name), warm_subspace._filtered, []
    monkeypatch.setattr(
        warm_subspace, "_filtered", lambda *some: rounds.append(1) or filtered(*some)
    )
    start, k = (RoughStart(K), block_size(K)) if is_rough else (problem.start, K)
    found, expected_rounds = (
        warm_components(problem.A, start, k),
        ROUNDS.get(name, (1, 1))[is_rough],
    )
    if expected_rounds is None:
        assert found is None
        return
    assert found is not None
    assert len(rounds) == expected_rounds
    values, vectors = found
    unit = torch.eye(k, dtype=torch.float64)
    torch.testing.assert_close(vectors.T @ vectors, unit)
    r = problem.r(values[:K], vectors[:, :K])
    torch.testing.assert_close(r, problem.expected(), rtol=0, atol=2e-6)
    all_values = np.linalg.eigvalsh(problem.A.numpy())[::-1]
    np.testing.assert_allclose(values[:K].numpy(), all_values[:K], rtol=1e-7)
    others = values[K:] / torch.from_numpy(all_values[K:k].copy())  # estimates, if there are any
    assert ((others > 0.8) & (others < 1 + 1e-9)).all()
    assert (others[:-1] > 0.99).all()


def test_tf32_alone_is_not_enough(tf32, monkeypatch) -> None:
    problem = Problem("by a power of the rank")
    monkeypatch.setattr(warm_subspace, "TF32", 4)
    monkeypatch.setattr(warm_subspace, "FLOAT32", 0)
    assert warm_components(problem.A, problem.start, K) is None


def test_a_gpu_without_tf32_computes_in_float32() -> None:
    problem = Problem("by a power of the rank")
    with pretended_cuda(get_device_capability=lambda device=None: (7, 5)):
        A = problem.A.cuda()
        assert warm_subspace._parts(A.float())[0].dtype == torch.float32
        assert len(warm_subspace._parts(A.float())) == 1
        found = warm_components(A, RoughStart(K), block_size(K))
        assert found is not None
        values, vectors = found[0].cpu()[:K], found[1].cpu()[:, :K]
    torch.testing.assert_close(problem.r(values, vectors), problem.expected(), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("is_rough", "n_waits"), [(False, 5), (True, 8)])
def test_the_host_waits_a_few_times_for_all_components(is_rough, n_waits) -> None:
    problem = Problem("by a power of the rank")
    with pretended_cuda() as record:
        A, start = (
            problem.A.cuda(),
            replace(
                problem.start,
                values=problem.start.values.cuda(),
                vectors=problem.start.vectors.cuda(),
            ),
        )
        before = record.kinds().total()
        some = (RoughStart(K), block_size(K)) if is_rough else (start, K)
        assert warm_components(A, *some) is not None
        assert record.kinds().total() - before == n_waits


def test_a_direction_that_the_start_lacks_is_found() -> None:
    """The start has exact zeros in the last rows, which products with the matrix leave there."""
    A = Problem("by a power of the rank").A.clone()
    A[200:] = A[:, 200:] = 0.0
    values, vectors = eigenpairs(A)
    start = Start(values[: block_size(K)], vectors[:, : block_size(K)].float(), len(A))
    assert not start.vectors[200:].any()
    A[200:, 200:] = values[2] / 40
    found = warm_components(A, start, K)
    assert found is not None
    torch.testing.assert_close(found[0], eigenpairs(A)[0][:K], rtol=1e-7, atol=0)


def spoilt(problem: Problem, how: str, monkeypatch: pytest.MonkeyPatch) -> Start:
    if how == "residuals above the bound":
        monkeypatch.setattr(warm_subspace, "RESIDUAL", 1e-12)
        return problem.start
    if how == "no vectors":
        return replace(problem.start, vectors=torch.full_like(problem.start.vectors, torch.nan))
    return replace(problem.start, values=100 * problem.start.values)


@pytest.mark.parametrize("how", ["residuals above the bound", "no vectors", "a bound too high"])
def test_what_is_not_certified_is_found_without_the_start(how, monkeypatch) -> None:
    problem, fallbacks = Problem("by a power of the rank"), []
    start, truncated = spoilt(problem, how, monkeypatch), truncated_eigh._truncated
    assert warm_components(problem.A, start, K) is None
    monkeypatch.setattr(truncated_eigh, "is_truncated", lambda *_: True)
    monkeypatch.setattr(
        truncated_eigh, "_truncated", lambda *some: fallbacks.append(1) or truncated(*some)
    )
    found = leading_components(problem.A.clone(), K, start=start)
    assert fallbacks == [1]
    torch.testing.assert_close(problem.r(*found), problem.expected(), rtol=0, atol=2e-5)


def test_random_vectors_overlap_with_directions_that_vary_slowly_over_rows() -> None:
    """In 144 independent random vectors, 120 directions have singular values from about 1 on."""
    n, m, n_directions = 1200, 144, 120
    angles = 2 * torch.pi * torch.arange(n)[:, None] * torch.arange(1, n_directions // 2 + 1) / n
    slow = torch.cat([angles.cos(), angles.sin()], dim=1) * (2 / n) ** 0.5
    drawn = warm_subspace._random(n, m, 0, torch.device("cpu"))
    assert torch.linalg.svdvals(slow.T @ drawn)[-1] > 0.3
    noise = warm_subspace._random(n, m, 1, torch.device("cpu"))
    assert (drawn.T @ noise / n).abs().max() < 0.15
