"""Each operation on either device's path equals the formula it stands for.

The path of a GPU runs here too, on a pretended one.
"""

import pytest
import torch
from torch import Tensor

from tests.builders.pretended_cuda import pretended_cuda
from trainables.compute import linear_algebra

N, M, K = 21, 6, 4


@pytest.fixture(params=["cpu", "gpu"])
def on(request):
    """Give a tensor to the path under test."""
    if request.param == "cpu":
        yield torch.clone
        return
    with pretended_cuda():
        yield lambda x: x.to("cuda")


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=dtype)


def symmetric() -> Tensor:
    A = normal(N, N)
    return A + A.T


def equal(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found.cpu(), expected)


def test_a_gram_matrix_is_added_to_the_lower_triangle(on):
    X, before = normal(N, M), symmetric()
    found = on(before)
    linear_algebra.add_gram(found, on(X))
    equal(found.tril(), (before + X @ X.T).tril())


def test_the_upper_triangle_is_that_of_the_lower_one_in_place(on):
    lower, undefined = symmetric().tril(), torch.full((N, N), torch.nan, dtype=torch.float64)
    found = on(lower + undefined.triu(1))
    assert linear_algebra.fill_upper(found).data_ptr() == found.data_ptr()
    equal(found, symmetric())


def test_a_gram_matrix_needs_no_whole_blocks(on, monkeypatch):
    """The last of eight blocks of 21 rows has none, or not all of its rows."""
    for blocks in (1, 4, 8, N, 2 * N):
        monkeypatch.setattr(linear_algebra, "BLOCKS", blocks)
        X, found = normal(N, M), on(torch.zeros(N, N, dtype=torch.float64))
        linear_algebra.add_gram(found, on(X))
        equal(found.tril(), (X @ X.T).tril())


def test_a_decomposition_gives_the_matrix_back_with_ascending_values(on):
    A = symmetric()
    values, vectors = (part.cpu() for part in linear_algebra.decompose(on(A)))
    equal(vectors * values @ vectors.T, A)
    equal(values, torch.linalg.eigvalsh(A))


def test_the_largest_need_only_the_lower_triangle(on):
    A = symmetric()
    spoilt = A.tril() + torch.full((N, N), 7.0, dtype=torch.float64).triu(1)
    values, vectors = (part.cpu() for part in linear_algebra.largest_of(on(spoilt), K))
    assert vectors.shape == (N, K)
    equal(values, torch.linalg.eigvalsh(A)[-K:])
    equal(A @ vectors, vectors * values)


def test_an_orthonormal_basis_and_its_coefficients_give_the_matrix_back(on):
    A = normal(N, K)
    Q, R = (part.cpu() for part in linear_algebra.orthonormal(on(A)))
    assert Q.shape == (N, K)
    equal(Q.T @ Q, torch.eye(K, dtype=torch.float64))
    equal(Q @ R, A)


DEPENDENT = {
    "independent": 1.0,
    "of very different norms": torch.logspace(0, -12, K, dtype=torch.float64),
    "nearly dependent": None,
    "dependent": None,
    "one without norm": torch.tensor([1.0, 0.0, 2.0, 3.0], dtype=torch.float64),
}


@pytest.mark.parametrize("columns", DEPENDENT)
def test_a_triangle_has_the_products_of_the_columns(on, columns, monkeypatch):
    S, scale = normal(N, K), DEPENDENT[columns]
    if scale is None:
        S[:, 2] = S[:, 0] - S[:, 1] + (1e-5 if columns == "nearly dependent" else 0.0) * S[:, 3]
    else:
        S = S * scale
    decomposed, qr = [], torch.linalg.qr
    monkeypatch.setattr(torch.linalg, "qr", lambda *a, **b: decomposed.append(1) or qr(*a, **b))
    R = linear_algebra.triangle_of(on(S)).cpu()
    assert torch.equal(R, R.triu())
    assert bool(decomposed) == (scale is None or columns == "one without norm")
    weights = normal(K, 7) / S.norm(dim=0).clamp(min=1e-30)[:, None]
    equal((R @ weights).norm(dim=0), (S @ weights).norm(dim=0))


def test_products_are_torchs(on):
    A, B, weights = normal(N, M), normal(M, K), normal(N)
    equal(linear_algebra.multiply(on(A), on(B)), A @ B)
    equal(linear_algebra.scale_rows(on(A), on(weights)), weights[:, None] * A)
    R, B = normal(M, M, dtype=torch.float32).triu(), normal(M, K, dtype=torch.float32)
    equal(linear_algebra.upper_product(on(R), on(B)), R @ B)
    A, B = normal(2, N, M), normal(N, M)
    equal(linear_algebra.column_products(on(A), on(A + 1)), (A * (A + 1)).sum(1))
    equal(linear_algebra.column_products(on(B), on(B - 1)), (B * (B - 1)).sum(0))
