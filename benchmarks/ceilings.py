"""Peak rates of a machine: operations per second of matrix products, bytes per second of copies."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from trainables.compute.linear_algebra import multiply

SIDE: Final = {"cpu": 2048, "cuda": 8192}
"""Rows of the square matrices that are multiplied."""
COPIED: Final = {"cpu": 512 * 2**20, "cuda": 4 * 2**30}
"""Bytes of one copy, far above the size of any cache."""


@dataclass(frozen=True)
class Ceilings:
    """The best of a few runs; a multiplication and an addition count as two operations."""

    flops: dict[str, float]
    """Operations per second by precision."""
    memory: float
    """Bytes per second of the device's memory, reading and writing both counted."""
    disk: float
    """Bytes per second of reading a file just written, usually from the page cache."""

    def floor(self, flops: float, precision: str, n_bytes: float) -> float:
        """Return a lower bound in seconds: the larger of arithmetic and memory time."""
        return max(flops / self.flops[precision], n_bytes / self.memory)


def measure_ceilings(device: torch.device) -> Ceilings:
    """Measure the peak rates of a device, with this process's number of threads."""
    n = SIDE[device.type]
    flops = {}
    for precision in (torch.float32, torch.float64):
        A, B = (torch.randn(n, n, dtype=precision, device=device) for _ in range(2))
        took = best_of(3, lambda A=A, B=B: multiply(A, B), device)  # type: ignore[misc]
        flops[str(precision).removeprefix("torch.")] = 2.0 * n**3 / took
    source = torch.ones(COPIED[device.type], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    memory = 2 * len(source) / best_of(5, lambda: target.copy_(source), device)
    return Ceilings(flops, memory, _disk())


def _disk() -> float:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "file"
        path.write_bytes(bytes(256 * 2**20))
        start = time.perf_counter()
        n_bytes = len(path.read_bytes())
        return n_bytes / (time.perf_counter() - start)


def best_of(n: int, run: Callable[[], object], device: torch.device) -> float:
    """Return the shortest of n synchronised runs, in seconds."""
    return min(timed(run, device) for _ in range(n))


def timed(run: Callable[[], object], device: torch.device) -> float:
    """Run once; return the seconds until the device has finished."""
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
