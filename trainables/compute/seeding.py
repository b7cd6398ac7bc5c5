"""Random numbers from a seed, for a block, on one device."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from trainables.compute.device import indexed

CPU: Final = torch.device("cpu")


@contextmanager
def seeded_generators(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Seed the generators of the CPU and of a device within the block, then restore their states.

    Other GPUs stay untouched: ``fork_rng()`` alone would start a context on each of them, and
    ``torch.manual_seed`` would seed them.
    """
    gpus = [indexed(device)] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.cuda.default_generators[gpu.index].manual_seed(seed)
        yield
