"""Norms of timm's networks, and stochastic depth, where several workers share a batch."""

from dataclasses import dataclass

import pytest
import torch
from timm.layers import BatchNormAct2d, DropPath
from torch import Tensor, nn

from trainables.training.distributed import TrialProcessGroup
from trainables.training.synchronised import SharedModel

X = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True)
class OneHasAll(TrialProcessGroup):
    """The first of two workers, which has all rows of each batch; the other has none."""

    size: int = 2

    def share(self, n: int) -> slice:
        return slice(0, n)

    def sum(self, tensor: Tensor) -> Tensor:
        return tensor.detach().clone()


@pytest.mark.parametrize(
    "module",
    [
        nn.BatchNorm2d(3),
        BatchNormAct2d(3, drop_layer=nn.Identity),
        BatchNormAct2d(3, act_layer=nn.SiLU),
        BatchNormAct2d(3, apply_act=False),
        DropPath(0.5),
    ],
    ids=["norm", "relu", "silu", "no activation", "stochastic depth"],
)
def test_a_shared_module_computes_what_it_computes_alone(module: nn.Module) -> None:
    torch.manual_seed(0)
    expected = module(X)
    shared = SharedModel(OneHasAll(), module)
    shared._n = len(X)
    torch.manual_seed(0)
    with shared.synchronised():
        assert "forward" in module.__dict__
        found = module(X)
    torch.testing.assert_close(found, expected)
    assert not torch.equal(found, X)


def test_a_norm_that_computes_something_else_is_refused_for_several_workers() -> None:
    class Doubled(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return 2 * super().forward(input)

    model = nn.Sequential(nn.Conv2d(3, 3, 1), Doubled(3))
    with pytest.raises(ValueError, match=r"1: Doubled is a BatchNorm .* --workers-per-trial 1"):
        SharedModel(OneHasAll(), model)
    SharedModel(TrialProcessGroup(), model)
