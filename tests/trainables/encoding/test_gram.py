"""Gram matrices of features: of chunks, of a large mean, of nothing."""

import numpy as np
import pytest
import torch

from tests.builders.ridge_cases import (
    SPECTRA,
    N,
    normal,
    ours,
    responses,
)
from trainables.encoding.pca import gram


def test_gram_of_chunks_equals_gram_of_the_whole() -> None:
    X = SPECTRA["plain"]
    torch.testing.assert_close(gram(X.split([1, 250, 349], dim=1)), gram([X]))


def test_gram_equals_centred_inner_products_in_float64() -> None:
    X = SPECTRA["a mean of 10,000"]
    Z = X.double() - X.double().mean(0)
    torch.testing.assert_close(gram([X]), Z @ Z.T, rtol=1e-12, atol=1e-7)


def test_gram_of_fewer_images_than_blocks_is_whole() -> None:
    X = normal(3, 5).double()
    Z = X - X.mean(0)
    torch.testing.assert_close(gram([X]), Z @ Z.T)


def test_gram_does_not_change_the_features() -> None:
    X = normal(20, 5).double()
    before = X.clone()
    gram([X])
    assert torch.equal(X, before)


def test_gram_of_nothing_raises() -> None:
    with pytest.raises(ValueError, match="no features"):
        gram([])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_diverged_backbone_raises(bad) -> None:
    X = normal(20, 5).index_put((torch.tensor(3), torch.tensor(2)), torch.tensor(bad))
    with pytest.raises(ValueError, match="diverged"):
        gram([X])


def test_a_large_mean_costs_no_digits() -> None:
    X = normal(N, 600).double()
    Y = responses(X)
    np.testing.assert_allclose(ours(X + 1e6, Y), ours(X, Y), atol=1e-6)
