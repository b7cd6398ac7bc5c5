"""How the workers of a process group find each other, without a port that others can reach.

torch.distributed exchanges addresses through a store. Its usual store listens on all interfaces,
and serves whoever connects. Here workers of one host share a file that only their user can read;
workers of several hosts, or of containers without a common directory, use a store that listens on
one address of the first of them.
"""

import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import torch.distributed as dist
from torch.distributed import FileStore, Store, TCPStore  # type: ignore[attr-defined]

TIMEOUT: Final = timedelta(minutes=30)
"""How long workers wait for each other when they start, and at each sum of gloo."""
NCCL_TIMEOUT: Final = timedelta(minutes=10)
"""How long workers wait at each sum of NCCL, which does not notice that a worker has ended.

Nothing but a part of a batch is computed between sums; whatever takes longer is agreed on by gloo.
It is less than a worker may be stuck, so that the cause is reported.
"""
_served: list[Store] = []
"""The stores that this process serves, which end with it."""


@dataclass(frozen=True)
class Rendezvous:
    """The place where the workers of a process group meet."""

    directory: str | None = None
    """Private directory of a store, for workers of one host."""
    address: str = ""
    """Address of the host that serves the store, for workers of several hosts."""
    port: int = 0

    def is_reachable(self) -> bool:
        """Return whether this process can use the directory, if there is one.

        Containers that share the network of their host, and so its address, may each have a
        directory for temporary files of their own.
        """
        return self.directory is None or os.access(self.directory, os.R_OK | os.W_OK | os.X_OK)

    def remove(self) -> None:
        """Remove the directory, after the workers have ended."""
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)


def make_rendezvous(addresses: Sequence[str]) -> Rendezvous:
    """Make the place to meet; called on the first worker. addresses: each worker's host."""
    if len(set(addresses)) == 1:
        return Rendezvous(directory=tempfile.mkdtemp(prefix="process-group-"))
    return serve_rendezvous(addresses[0])


def serve_rendezvous(address: str) -> Rendezvous:
    """Serve a store on one address of this host, for as long as this process lives."""
    listener = socket.create_server((address, 0), family=_family(address))
    port = listener.getsockname()[1]
    store = TCPStore(
        address,
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=TIMEOUT,
        master_listen_fd=listener.detach(),
    )
    _served.append(store)
    return Rendezvous(address=address, port=port)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def meet(place: Rendezvous, backend: str, rank: int, size: int) -> None:
    """Initialise torch.distributed in this process with all other workers of a group.

    backend: ``gloo`` or ``nccl``.
    """
    store: Store
    if place.directory is not None:
        store = FileStore(str(Path(place.directory) / "store"), size)
    else:
        store = TCPStore(
            place.address, place.port, is_master=False, wait_for_workers=False, timeout=TIMEOUT
        )
    dist.init_process_group(
        backend, store=store, rank=rank, world_size=size, timeout=timeout_of(backend)
    )


def timeout_of(backend: str) -> timedelta:
    """Return how long a process group waits at each sum; backend: ``gloo`` or ``nccl``."""
    return NCCL_TIMEOUT if backend == "nccl" else TIMEOUT
