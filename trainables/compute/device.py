"""The device that computes: its name, its free memory, its threads."""

from pathlib import Path

import torch
from threadpoolctl import threadpool_limits


def free_bytes(device: torch.device) -> int:
    """Measure the memory that is free: the GPU's, of this process's share, or this machine's."""
    if device.type == "cuda":
        device = indexed(device)
        free, total = torch.cuda.mem_get_info(device)
        share = torch.cuda.get_per_process_memory_fraction(device)
        return min(int(free), int(share * total) - torch.cuda.memory_reserved(device))
    fields = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line
    )
    return int(fields["MemAvailable"].split()[0]) * 1024


def indexed(device: torch.device) -> torch.device:
    """Return a device by its number: some of torch's functions take no bare ``cuda``."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def use_threads(n_threads: int) -> None:
    """Have torch and every BLAS of this process compute with n_threads on the CPU."""
    torch.set_num_threads(n_threads)
    threadpool_limits(n_threads, user_api="blas")


def device_name(device: torch.device) -> str:
    """Name a device as people do: ``cpu``, or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
