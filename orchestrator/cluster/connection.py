"""Connect to Ray: to the cluster that RAY_ADDRESS names, or to a local one of this process."""

import logging
import os
import socket
from typing import Any, Final

import ray
from ray._private import ray_constants
from ray._private.services import get_node_ip_address
from ray.data import DataContext

GIB: Final = 2**30
MAX_OBJECT_STORE: Final = 2 * GIB
SHARE_OF_MEMORY: Final = 0.3
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


def connect(
    num_cpus: int | None = None,
    *,
    include_dashboard: bool = False,
    object_store_memory: int | None = None,
) -> str:
    """Connect this process to Ray, without output; return the dashboard's address, or "".

    A local Ray listens on loopback only. With RAY_ADDRESS set, this process joins that cluster,
    and the arguments, which size a local Ray, are ignored. object_store_memory: bytes; by default
    30 % of the machine's memory, at most 2 GiB.
    """
    quieten()
    options: dict[str, Any] = {"ignore_reinit_error": True}
    joined = os.environ.get("RAY_ADDRESS", "")
    if not ray.is_initialized() and (not joined or _is_on_loopback_alone(joined)):
        # Ray listens on, and connects to, the machine's external address, unless it assumes a
        # cluster of one machine, as it does on macOS; there is no public argument for this.
        ray_constants.ENABLE_RAY_CLUSTER = False
    if not ray.is_initialized() and not joined:
        options |= {
            "address": "local",
            "num_cpus": num_cpus,
            "include_dashboard": include_dashboard,
            "object_store_memory": object_store_memory or default_object_store(),
        }
    context = ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    return f"http://{context.dashboard_url}" if context.dashboard_url else ""


def _is_on_loopback_alone(address: str) -> bool:
    """Return whether the Ray at HOST:PORT is only reachable from this machine."""
    host, _, port = address.rpartition(":")
    if host not in LOOPBACK or not port.isdecimal():
        return False
    outer: str = get_node_ip_address()  # type: ignore[no-untyped-call]
    try:
        with socket.create_connection((outer, int(port)), timeout=1):
            return False
    except OSError:
        return True


def quieten() -> None:
    """Turn off Ray Data's progress bars and INFO lines; commands display progress themselves."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)


def default_object_store() -> int:
    """Return the bytes of a local object store: 30 % of the machine's memory, at most 2 GiB."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min(MAX_OBJECT_STORE, int(memory * SHARE_OF_MEMORY))


def local_cpus() -> int:
    """Return the CPUs of a local Ray: this machine's, and one more for Ray Data's reading."""
    return len(os.sched_getaffinity(0)) + 1
