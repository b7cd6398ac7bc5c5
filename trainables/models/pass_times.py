"""How long a network takes for an image on a device, measured on a few batches."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

BATCH: Final = {"cpu": 8, "cuda": 64}
"""Images per batch."""
N_BATCHES: Final = 3
"""Batches that are measured, after one that is not."""
ENOUGH_SECONDS: Final = 5.0
"""No further batch begins after so many seconds."""


@dataclass(frozen=True)
class PassTimes:
    """Seconds for an image."""

    forward: float
    """Of a pass in eval mode, without gradients."""
    training: float
    """Of a pass forwards and backwards, and a step of Adam."""
    n_images: int
    """Images that the training was measured on."""


def measure_passes(network: nn.Module, image_size: int, device: torch.device) -> PassTimes:
    """Measure passes of random images of a size through a network, which is moved to the device."""
    network = network.to(device)
    images = torch.rand(BATCH[device.type], 3, image_size, image_size, device=device)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-6)

    def forward() -> None:
        with torch.no_grad():
            network.eval()(images)

    def train() -> None:
        output: Tensor = network.train()(images)
        optimizer.zero_grad()
        output.float().square().mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    of_forward, _ = _seconds(forward, device)
    of_training, n_batches = _seconds(train, device)
    n = len(images)
    return PassTimes(of_forward / n, of_training / n, n * n_batches)


def _seconds(step: Callable[[], None], device: torch.device) -> tuple[float, int]:
    """Return the shortest time of a step, and how often it was measured."""
    start = _now(device)
    step()
    found: list[float] = []
    while len(found) < N_BATCHES and (not found or _now(device) - start < ENOUGH_SECONDS):
        before = _now(device)
        step()
        found.append(_now(device) - before)
    return min(found), len(found)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
