"""The emulation of TF32: its rounding, its backward products, and the phases it is used in."""

import math
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear

from benchmarks.tf32 import EmulatedTF32, round_to_tf32
from trainables.compute.numerics import FAST, Numerics
from trainables.compute.precision import full_float32, torch_set_for_training


def nearest(value: float) -> Fraction:
    """Round a normal number to 11 significant bits in exact arithmetic, ties to even."""
    exponent = math.frexp(value)[1] - 11
    return round(Fraction(value) / Fraction(2) ** exponent) * Fraction(2) ** exponent


def test_values_are_rounded_to_the_nearest_with_10_bits_of_mantissa() -> None:
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2000, generator=random) * torch.exp(20 * torch.randn(2000, generator=random))
    step = 2.0**-10
    ties = torch.tensor([1 + step / 2, 1 + 3 * step / 2, -(1 + 5 * step / 2), 2 - step / 2])
    around = torch.cat([x, ties, torch.nextafter(ties, x[:4]), torch.nextafter(ties, -x[:4])])
    assert [Fraction(one) for one in round_to_tf32(around).tolist()] == [
        nearest(one) for one in around.tolist()
    ]


def test_rounding_again_changes_nothing_and_extremes_stay() -> None:
    x = torch.randn(64, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    once = round_to_tf32(x)
    assert not torch.equal(once, x)
    assert torch.equal(round_to_tf32(once), once)
    assert once.is_contiguous(memory_format=torch.channels_last)
    special = torch.tensor([math.inf, -math.inf, 0.0, 3.4028235e38])
    assert round_to_tf32(special).tolist() == [math.inf, -math.inf, 0.0, math.inf]
    all_ones = torch.tensor([-1, 0x7FFFFFFF], dtype=torch.int32).view(torch.float32)
    assert round_to_tf32(all_ones).isnan().all()


def by_hand(operation: Callable[[Tensor, Tensor], Tensor], x: Tensor, w: Tensor, dy: Tensor):
    """Compute y, dx and dw, each a product of two rounded factors, in float64."""
    x, w, dy = (round_to_tf32(one).double() for one in (x, w, dy))
    leaves = (x.requires_grad_(), w.requires_grad_())
    y = operation(*leaves)
    return y.detach(), *torch.autograd.grad(y, leaves, dy)


OPERATIONS = {
    "linear": (linear, (8, 300), (7, 300)),
    "conv2d": (lambda x, w: conv2d(x, w, stride=2, padding=1), (4, 6, 9, 9), (5, 6, 3, 3)),
    "bmm": (torch.bmm, (3, 4, 50), (3, 50, 6)),
    "cosines": (lambda x, w: x @ w.T, (8, 128), (8, 128)),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_product_and_both_of_its_gradients_have_rounded_factors(name: str) -> None:
    operation, *shapes = OPERATIONS[name]
    torch.manual_seed(1)
    x, w = (torch.randn(shape, requires_grad=True) for shape in shapes)
    with EmulatedTF32() as emulation, torch_set_for_training(FAST):
        y = operation(x, w)
        dy = torch.randn_like(y)
        found = (y.detach(), *torch.autograd.grad(y, (x, w), dy))
    expected = by_hand(operation, x.detach(), w.detach(), dy)
    plain = operation(x, w)
    full = (plain.detach(), *torch.autograd.grad(plain, (x, w), dy))
    for one, right, unrounded in zip(found, expected, full, strict=True):
        scale = right.abs().max()
        assert (one - right).abs().max() < 1e-6 * scale  # float32 sums alone
        assert (unrounded - right).abs().max() > 1e-4 * scale  # what a missed rounding would leave
    assert emulation.n_rounded.total() == (2 if name == "conv2d" else 3)


def test_a_bias_is_added_and_its_gradient_summed_unrounded() -> None:
    torch.manual_seed(2)
    x, w = torch.zeros(4, 6, 5, 5), torch.zeros(5, 6, 3, 3)
    bias = torch.randn(5, requires_grad=True)
    with EmulatedTF32() as emulation, torch_set_for_training(FAST):
        y = conv2d(x, w.requires_grad_(), bias)
        dy = torch.randn_like(y)
        of_weight, of_bias = torch.autograd.grad(y, (w, bias), dy)
        of_linear = linear(torch.zeros(4, 6), torch.randn(5, 6), bias)
    assert torch.equal(y, bias.detach()[None, :, None, None].expand_as(y))
    assert torch.equal(of_linear, bias.detach().expand_as(of_linear))
    torch.testing.assert_close(of_bias, dy.sum((0, 2, 3)), rtol=1e-6, atol=1e-6)
    assert of_weight.abs().max() == 0
    assert emulation.n_rounded == {"convolution": 1, "convolution_backward": 1, "addmm": 1}


def test_scores_deterministic_trials_and_other_types_are_left_alone() -> None:
    x = torch.randn(4, 4)
    with EmulatedTF32() as emulation:
        with torch_set_for_training(FAST):
            with full_float32():  # as while scores are computed
                x @ x
                conv2d(x[None, None], x[None, None])
            x.double() @ x.double()
            x.bfloat16() @ x.bfloat16()
        deterministic = Numerics(deterministic=True)
        with full_float32(), torch_set_for_training(deterministic):
            x @ x
            conv2d(x[None, None], x[None, None])
    assert not emulation.n_rounded
