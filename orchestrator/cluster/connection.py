"""Connect to Ray: to the cluster that RAY_ADDRESS names, or to a local one of this process."""

import atexit
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import ray
from ray._private import ray_constants
from ray._private import utils as ray_utils
from ray._private.services import get_node_ip_address

from orchestrator.cli.errors import InputError
from orchestrator.cli.signals import renew_handlers
from orchestrator.cluster.address import VARIABLE, cluster_address
from orchestrator.cluster.cluster_check import CURE, check_cluster
from orchestrator.cluster.dashboard import end_ray, without_dashboard
from orchestrator.cluster.local_ray import object_store_size, ray_directory, worker_memory
from trainables.storage.redaction import redact

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


def connect(
    num_cpus: int | None = None,
    *,
    include_dashboard: bool = False,
    object_store_memory: int | None = None,
) -> None:
    """Connect this process to Ray, without output.

    A local Ray listens on loopback only. With RAY_ADDRESS set, this process joins that cluster,
    and the arguments, which size a local Ray, are ignored. include_dashboard: whether
    ``start_dashboard`` starts one. object_store_memory: bytes; by default 30 % of the machine's
    memory, at most 2 GiB. Raises InputError if the cluster does not answer, or if a local Ray can't
    be started.
    """
    quieten()
    if ray.is_initialized():
        return
    joined = cluster_address()
    if joined:
        check_cluster(joined)
    if not joined or _is_on_loopback_alone(joined):
        # Ray listens on, and connects to, the machine's external address, unless it assumes a
        # cluster of one machine, as it does on macOS; there is no public argument for this.
        ray_constants.ENABLE_RAY_CLUSTER = False
    sizes = {} if joined else _local_options(num_cpus, include_dashboard, object_store_memory)
    _init(sizes)
    atexit.unregister(end_ray)
    atexit.register(end_ray)


def _local_options(
    num_cpus: int | None, include_dashboard: bool, object_store_memory: int | None
) -> dict[str, Any]:
    directory = ray_directory()
    object_store = object_store_memory or object_store_size(directory)
    return {
        "address": "local",
        "num_cpus": num_cpus,
        "include_dashboard": include_dashboard,
        "object_store_memory": object_store,
        "_memory": worker_memory(object_store),
        "_temp_dir": str(directory),
    }


def _init(options: dict[str, Any]) -> None:
    """Start or join Ray without output; raise InputError with the cure if it fails."""
    try:
        with _own_signal_handlers(), without_dashboard():
            ray.init(
                logging_level=logging.ERROR,
                log_to_driver=False,
                ignore_reinit_error=True,
                **options,
            )
    except Exception as error:  # Ray raises many kinds, also bare ones
        message = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if joined := cluster_address():
            raise InputError(redact(f"{VARIABLE}={joined}: {message}; {CURE}")) from error
        raise InputError(
            f"Ray does not start: {message}; its logs are in {options['_temp_dir']}"
        ) from error


@contextmanager
def _own_signal_handlers() -> Iterator[None]:
    """Keep this process's signal handlers, which Ray replaces; it has no argument for this."""
    replace = ray_utils.set_sigterm_handler
    ray_utils.set_sigterm_handler = lambda handler: None
    try:
        yield
    finally:
        ray_utils.set_sigterm_handler = replace
        renew_handlers()  # Ray's C++ part has put its own before them, which prints a stack


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
    """Turn off Tune's traceback of 60 lines for each failed trial, which has its own outcome."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


def local_cpus() -> int:
    """Return the CPUs of a local Ray: this machine's, and one more for Ray Data's reading."""
    return len(os.sched_getaffinity(0)) + 1
