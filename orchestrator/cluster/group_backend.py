"""Ray Train's backend of a worker group: the process group of the workers that share a trial.

The store of Ray's own backend listens on all interfaces.
"""

import socket
from contextlib import suppress
from typing import Any, Final

import ray
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig
from ray.train.torch.config import _TorchBackend

from orchestrator.cli.environment import set_environment
from trainables.training.rendezvous import (
    Rendezvous,
    make_rendezvous,
    meet,
    serve_rendezvous,
)

REMOVE_SECONDS: Final = 10.0


def use_loopback() -> None:
    """Make gloo and NCCL of this process listen on loopback, unless the user chose an interface."""
    names = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    for name in names[:1]:
        set_environment({"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name})


class GroupBackend(_TorchBackend):
    """Starts the process group of a worker group; ends it as Ray's backend does."""

    _place: Rendezvous | None = None

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """Let the workers of a group meet."""
        size = len(worker_group)
        self._place = place = _choose_place(worker_group)
        if place.directory is not None:
            worker_group.execute(use_loopback)
        has_gpus = worker_group.get_resources_per_worker().get("GPU", 0) > 0
        backend = "nccl" if has_gpus else "gloo"
        ray.get(
            [
                worker_group.execute_single_async(rank, meet, place, backend, rank, size)
                for rank in range(size)
            ]
        )

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        """End the process group, and remove the place where it met."""
        super().on_shutdown(worker_group, backend_config)
        place, self._place = self._place, None
        if place is not None:
            with suppress(ray.exceptions.RayError):  # the first worker is gone
                ray.get(worker_group.execute_single_async(0, place.remove), timeout=REMOVE_SECONDS)


def _choose_place(worker_group: Any) -> Rendezvous:
    """Let the first worker make a place to meet that all workers can reach."""
    addresses = worker_group.execute(ray.util.get_node_ip_address)
    place: Rendezvous = worker_group.execute_single(0, make_rendezvous, addresses)
    if all(worker_group.execute(place.is_reachable)):
        return place
    worker_group.execute_single(0, place.remove)
    served: Rendezvous = worker_group.execute_single(0, serve_rendezvous, addresses[0])
    return served


class GroupConfig(TorchConfig):
    """Makes Ray Train use GroupBackend."""

    @property
    def backend_cls(self) -> type[GroupBackend]:
        """Return the class of the backend."""
        return GroupBackend
