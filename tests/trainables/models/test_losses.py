"""The contrastive loss against its formula, and retrieval against counting."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from trainables.models.losses import (
    contrastive_loss,
    cosine_similarity,
    retrieval,
    view_contrast_loss,
)


def embeddings(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return images, torch.randn(n, d, generator=generator, dtype=torch.float64)


def formula(images: Tensor, responses: Tensor, temperature: float) -> float:
    """L = -mean_j log( exp(S_jj/t) / sum_i exp(S_ij/t) ), S_ij = cos(response i, image j)."""
    n, total = len(images), 0.0
    for j in range(n):
        s = [float(functional.cosine_similarity(responses[i], images[j], dim=0)) for i in range(n)]
        denominator = sum(math.exp(s[i] / temperature) for i in range(n))
        total += math.log(math.exp(s[j] / temperature) / denominator)
    return -total / n


@pytest.mark.parametrize("n", [2, 3, 9])
@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.0])
def test_the_loss_is_the_formula_written_as_two_loops(n, temperature) -> None:
    images, responses = embeddings(n, 5, seed=n)
    found = float(contrastive_loss(images, responses, temperature))
    assert found == pytest.approx(formula(images, responses, temperature), rel=1e-10)


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_the_loss_of_views_is_its_formula_written_as_two_loops(n, temperature) -> None:
    views = torch.stack(embeddings(n, 5, seed=n), dim=1)
    rows, total = views.flatten(0, 1), 0.0
    for i in range(2 * n):
        s = [float(functional.cosine_similarity(rows[i], rows[k], dim=0)) for k in range(2 * n)]
        others = sum(math.exp(s[k] / temperature) for k in range(2 * n) if k != i)
        total -= math.log(math.exp(s[i + 1 if i % 2 == 0 else i - 1] / temperature) / others)
    found = float(view_contrast_loss(views, temperature))
    assert found == pytest.approx(total / (2 * n), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("n_remembered", [1, 6])
def test_remembered_responses_are_further_terms_of_the_sum_and_are_never_right(
    n_remembered,
) -> None:
    images, responses = embeddings(4, 5)
    remembered, _ = embeddings(n_remembered, 5, seed=9)
    total = 0.0
    for j, image in enumerate(images):
        among = [*responses, *remembered]
        s = [float(functional.cosine_similarity(one, image, dim=0)) for one in among]
        total -= math.log(math.exp(s[j] / 0.3) / sum(math.exp(one / 0.3) for one in s))
    found = float(contrastive_loss(images, responses, 0.3, remembered))
    assert found == pytest.approx(total / 4, rel=1e-10)


def test_images_pick_responses_and_not_the_reverse() -> None:
    images, responses = embeddings(6, 4)
    found = float(contrastive_loss(images, responses, 0.3))
    reverse = formula(responses, images, 0.3)
    assert abs(found - reverse) > 1e-3
    assert float(contrastive_loss(responses, images, 0.3)) == pytest.approx(reverse)


def test_the_loss_is_cross_entropy_of_the_transposed_similarities() -> None:
    images, responses = embeddings(7, 3)
    S = cosine_similarity(responses, images)
    expected = functional.cross_entropy(S.T / 0.3, torch.arange(7))
    torch.testing.assert_close(contrastive_loss(images, responses, 0.3), expected)


def test_the_positive_is_in_the_sum_so_that_the_loss_is_never_negative() -> None:
    basis = torch.eye(4, dtype=torch.float64)
    expected = -math.log(math.e**10 / (math.e**10 + 3))
    assert float(contrastive_loss(basis, basis, 0.1)) == pytest.approx(expected)
    assert expected > 0


def test_embeddings_all_alike_lose_the_log_of_their_number() -> None:
    same = torch.ones(8, 3)
    assert float(contrastive_loss(same, same, 0.3)) == pytest.approx(math.log(8), rel=1e-6)


def test_lengths_of_embeddings_do_not_matter() -> None:
    images, responses = embeddings(5, 4)
    stretch = torch.arange(1, 6, dtype=torch.float64).unsqueeze(1)
    torch.testing.assert_close(
        contrastive_loss(images * stretch, responses / stretch, 0.3),
        contrastive_loss(images, responses, 0.3),
    )


def test_a_lower_temperature_sharpens_what_is_already_right() -> None:
    images, _ = embeddings(6, 8)
    losses = [float(contrastive_loss(images, images, t)) for t in (1.0, 0.3, 0.1)]
    assert losses == sorted(losses, reverse=True)


def test_the_gradient_is_the_slope_of_the_loss() -> None:
    images, responses = (x.requires_grad_() for x in embeddings(4, 3))
    assert torch.autograd.gradcheck(lambda x, y: contrastive_loss(x, y, 0.3), (images, responses))


def brute_force_ranks(images: Tensor, responses: Tensor) -> list[int]:
    x, y = images.numpy(), responses.numpy()
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    y = y / np.linalg.norm(y, axis=1, keepdims=True)
    n = len(x)
    return [1 + sum(x[i] @ y[j] > x[i] @ y[i] for j in range(n) if j != i) for i in range(n)]


@given(st.integers(1, 12), st.integers(2, 6), st.integers(0, 1000))
def test_retrieval_counts_as_brute_force_does(n, d, seed) -> None:
    images, responses = embeddings(n, d, seed)
    ranks = brute_force_ranks(images, responses)
    found = retrieval(images, responses)
    assert found.top1 == pytest.approx(np.mean(np.equal(ranks, 1)))
    assert found.median_rank == pytest.approx(np.median(ranks))


def test_own_responses_are_found_when_they_are_the_images() -> None:
    images, _ = embeddings(10, 6)
    found = retrieval(images, images)
    assert (found.top1, found.median_rank) == (1.0, 1.0)


def test_ties_count_against_the_image() -> None:
    collapsed = torch.tensor([[1.0, 0.0]]).repeat(5, 1)
    found = retrieval(collapsed, collapsed)
    assert (found.top1, found.median_rank) == (0.0, 5.0)


def test_a_tie_with_one_other_response_is_no_hit() -> None:
    images = torch.eye(3)
    responses = torch.stack([images[0], images[0], images[2]])
    found = retrieval(images, responses)
    assert found.top1 == pytest.approx(1 / 3)
