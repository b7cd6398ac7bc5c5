"""Processes that form process groups of workers, for tests: started once, they run what is asked of
each."""

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from trainables.training.distributed import SINGLE_PROCESS, TrialProcessGroup

WorkItem = Callable[[TrialProcessGroup], Any]


def run_process_groups(
    work_item: WorkItem, sizes: tuple[int, ...], home: Path
) -> dict[int, list[Any]]:
    """Run work in process groups of each size; return what each worker of each process group
    returned."""
    home.mkdir()
    n = max(sizes)
    spawn(_process, args=(n, work_item, sizes, str(home)), nprocs=n)
    return {
        size: [torch.load(home / f"{size}-{rank}.pt") for rank in range(size)] for size in sizes
    }


def _process(rank: int, n: int, work_item: WorkItem, sizes: tuple[int, ...], home: str) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    store = dist.FileStore(f"{home}/store", n)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=n)
    for size in sizes:
        # Every process makes every group: torch.distributed asks for it.
        tensors = dist.new_group(list(range(size)), timeout=timedelta(seconds=60))
        words = dist.new_group(list(range(size)), timeout=timedelta(seconds=60))
        if rank < size:
            process_group = (
                SINGLE_PROCESS if size == 1 else TrialProcessGroup(rank, size, tensors, words)
            )
            torch.save(work_item(process_group), f"{home}/{size}-{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
