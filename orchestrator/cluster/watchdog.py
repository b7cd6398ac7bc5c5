"""A watchdog on progress: a worker that shows none for too long is ended, its trial tried again.

It also tells the queue which nodes are dead, so that other groups take their trials.

What counts is a sign of life of the trial, a step that begins or an epoch that ends, not how long
the trial takes in all.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from orchestrator.cli.process import interrupt
from orchestrator.cluster.jobs import Stuck

_logger = logging.getLogger(__name__)

CHECK_SECONDS: Final = 5.0
MIN_STALL_TIMEOUT: Final = 900.0
"""Seconds that any trial may take for a step."""
TIMES_ESTIMATE: Final = 10.0
"""How many times its whole estimated time a trial may take for a step."""


def stall_timeout_for(estimate: float) -> float:
    """Say how many seconds a trial may go without a sign of progress."""
    return max(MIN_STALL_TIMEOUT, TIMES_ESTIMATE * estimate)


@contextmanager
def watched(queue: Any) -> Iterator[None]:
    """End workers that are stuck, within the block."""
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(queue, ended), name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()


def _watch(queue: Any, ended: threading.Event) -> None:
    while not ended.wait(CHECK_SECONDS):
        dead = _dead_nodes()
        if dead is None or ray.get_runtime_context().get_node_id() in dead:
            interrupt("Ray has ended on this machine; give the same command again, it goes on here")
            return
        try:
            ray.get(queue.nodes_died.remote(dead), timeout=CHECK_SECONDS)
            stuck: list[Stuck] = ray.get(queue.stuck.remote(), timeout=CHECK_SECONDS)
            for one in stuck:
                _logger.info("%s: no progress, ending its worker %d", one.trial_id, one.pid)
                _end(one)
        except (ray.exceptions.RayError, TimeoutError):
            continue  # the queue is busy or gone, or a node: the next time will tell


def _dead_nodes() -> list[str] | None:
    """List the nodes that have died; None where Ray itself has ended, so that nobody knows."""
    try:
        nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    except ray.exceptions.RayError:
        return None
    return [node["NodeID"] for node in nodes if not node["Alive"]]


def _end(stuck: Stuck) -> None:
    """Kill a stuck worker's process, on its own node."""
    there = NodeAffinitySchedulingStrategy(node_id=stuck.node, soft=False)
    kill = ray.remote(_kill).options(num_cpus=0, scheduling_strategy=there, max_retries=0)
    ray.get(kill.remote(stuck.pid), timeout=60)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
