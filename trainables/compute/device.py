"""The compute device: its name, free memory and threads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from trainables.compute.memory import CONTEXT, memory_left

SLOW_FLOAT64: Final = frozenset({(7, 5), (8, 6), (8, 9), (10, 3)})
"""Compute capabilities of GPUs with slow float64."""
SLOW_FLOAT64_MAJOR: Final = 12
"""The same: all minor versions of it."""


def free_bytes(device: torch.device) -> int:
    """Return the free bytes of a GPU, within this process's share of it, or of this machine.

    Of the machine's, within the limits of a container or a batch job (:func:`memory_left`).
    What torch's allocator keeps of freed tensors counts as free: it is used again.
    """
    if device.type == "cuda":
        device = indexed(device)
        free, total = torch.cuda.mem_get_info(device)
        allocated = torch.cuda.memory_allocated(device)
        kept = torch.cuda.memory_reserved(device) - allocated
        share = torch.cuda.get_per_process_memory_fraction(device)
        return min(int(free) + kept, int(share * total) - allocated)
    fields = dict(
        line.split(":", 1)
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    return min(int(fields["MemAvailable"].split()[0]) * 1024, memory_left())


def limit_memory(device: torch.device, share: float) -> None:
    """Let this process's tensors use a share of a GPU's memory, less what its libraries use.

    At least half of the share is left to the tensors.
    """
    _, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction(max(share / 2, share - CONTEXT / total), device)


def indexed(device: torch.device) -> torch.device:
    """Return a device with its index: some functions of torch do not accept a bare ``cuda``."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def uses_cuda() -> bool:
    """Return whether this process has used a GPU; asking does not make it use one."""
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]


def has_slow_float64(device: torch.device) -> bool:
    """Return whether a device is a GPU that computes float64 at 1/32 of float32's rate or less.

    These are the GPUs for graphics and inference (RTX 20 to 50, T4, A6000, A10, A40, L4, L40S), and
    B300.
    """
    if device.type != "cuda":
        return False
    major, minor = torch.cuda.get_device_capability(indexed(device))
    return (major, minor) in SLOW_FLOAT64 or major == SLOW_FLOAT64_MAJOR


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the host to a device; the host does not wait for a GPU to have it.

    A GPU gets it from a copy in pinned memory, so that the tensor may be changed at once.
    """
    if device.type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def parts_to_device(parts: Sequence[Tensor], device: torch.device) -> tuple[Tensor, ...]:
    """Copy tensors of the host to a device in one transfer, for which the host does not wait."""
    if not parts:
        return ()
    whole = to_device(torch.cat(tuple(parts)), device)
    split: tuple[Tensor, ...] = torch.split(whole, [len(part) for part in parts])
    return split


def use_threads(n_threads: int) -> None:
    """Set the number of CPU threads of torch and of every BLAS library in this process."""
    torch.set_num_threads(n_threads)
    threadpool_limits(n_threads, user_api="blas")


def device_name(device: torch.device) -> str:
    """Return a device's name to show to users: ``cpu``, or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def has_tf32(device: torch.device) -> bool:
    """Return whether a device is a GPU that multiplies in TF32 (Ampere and later)."""
    return device.type == "cuda" and torch.cuda.get_device_capability(indexed(device)) >= (8, 0)
