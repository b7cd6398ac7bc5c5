"""The InfoNCE bound: closed forms, its ceiling, its numerics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.probes.info_nce import BETAS, best_beta, bound, bounds, info_nce


def gaussian_critic(rho, n, dimensions, seed):
    """Compute the log density ratio of correlated Gaussians: the best critic there is."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, dimensions, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, dimensions, generator=generator, dtype=torch.float64)
    y = rho * x + math.sqrt(1 - rho**2) * noise
    residual = (y[None] - rho * x[:, None]) ** 2 / (1 - rho**2)
    return -0.5 * (residual - y[None] ** 2).sum(dim=2)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.6])
def test_of_correlated_gaussians_it_is_the_closed_form(rho):
    deterministic = -0.5 * 2 * math.log(1 - rho**2)
    found = np.mean([info_nce(gaussian_critic(rho, 512, 2, seed)) for seed in range(8)])
    assert found == pytest.approx(deterministic, abs=0.04)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.floats(0.01, 1e4), st.integers(0, 100))
def test_it_never_exceeds_its_ceiling(n, scale, seed):
    critic = scale * torch.randn(n, n, generator=torch.Generator().manual_seed(seed))
    value = info_nce(critic)
    assert math.isfinite(value)
    assert value <= math.log(n) + 1e-9


def test_perfect_pairs_reach_the_ceiling():
    assert bound(torch.eye(50), 0.3, 0.01) == pytest.approx(math.log(50), abs=1e-9)


def test_unrelated_pairs_share_nothing():
    cosines = torch.rand(300, 300, generator=torch.Generator().manual_seed(0)) - 0.5
    assert bounds(cosines, 0.3).max() < 0.02


def test_all_betas_at_once_equal_one_after_another():
    cosines = 2 * torch.rand(20, 20, generator=torch.Generator().manual_seed(1)) - 1
    together = bounds(cosines, 0.3)
    assert len(together) == len(BETAS) == 1000
    for place in (0, 17, 500, 999):
        assert together[place] == pytest.approx(bound(cosines, 0.3, BETAS[place]), abs=1e-12)


def batches(diagonal: float, spread: float, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    noise = [torch.rand(12, 12, generator=generator) - 0.5 for _ in range(3)]
    return [diagonal * torch.eye(12) + spread * one for one in noise]


@pytest.mark.parametrize(
    ("diagonal", "spread"),
    [(0.4, 0.3), (0.05, 0.5), (0.02, 1.0), (1.0, 0.0), (0.0, 0.0), (-0.5, 0.4), (1e-3, 1e-3)],
)
def test_the_chosen_beta_has_the_highest_mean_bound_of_all(diagonal, spread):
    for seed in range(10):
        many = batches(diagonal, spread, seed)
        means = np.mean([bounds(one, 0.3) for one in many], axis=0)
        assert best_beta(many, 0.3) == BETAS[means.argmax()]


def test_images_are_rows_as_in_the_loss():
    cosines = torch.tensor([[0.9, 0.1], [0.8, 0.2]])
    scaled = cosines.double() / 0.3
    expected = np.mean(
        [float(scaled[k, k] - torch.log(torch.exp(scaled[k]).mean())) for k in range(2)]
    )
    assert bound(cosines, 0.3, 1.0) == pytest.approx(expected, abs=1e-12)
