"""The temperature of the contrastive loss, if it is trained with the weights."""

import math
from typing import Final

import torch
from torch import Tensor, nn

START: Final = 0.3
"""The temperature before the first step: the paper's constant."""
LEAST: Final = 0.01
"""The lowest temperature, below which gradients are those of a few pairs only."""


class LearnedTemperature(nn.Module):
    """A temperature t = exp(log), whose logarithm is a parameter; at least LEAST."""

    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(math.log(START)))

    def forward(self) -> Tensor:
        """Return the temperature, a scalar; raise its parameter to the lower bound if below."""
        with torch.no_grad():  # a clamp in the graph would have no gradient back into the range
            self.log.clamp_(min=math.log(LEAST))
        return self.log.exp()


def value_of(temperature: float | LearnedTemperature) -> float | Tensor:
    """Return the value of a constant or learned temperature."""
    return temperature() if isinstance(temperature, LearnedTemperature) else temperature
