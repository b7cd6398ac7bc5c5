"""A watchdog: a worker without progress for too long is ended, and its trial is retried.

It also reports dead nodes to the queue, so that other groups take their trials. Progress means that
a step begins or an epoch ends; the total duration of a trial is not limited.
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

from orchestrator.cli.signals import interrupt
from orchestrator.cluster.jobs import Stuck

_logger = logging.getLogger(__name__)

CHECK_SECONDS: Final = 5.0
MIN_STALL_TIMEOUT: Final = 900.0
"""Seconds that any trial may spend on one step, at least."""
TIMES_ESTIMATE: Final = 10.0
"""A trial may spend this many times its total estimated duration on one step."""


def stall_timeout_for(estimate: float) -> float:
    """Return the seconds that a trial may run without progress; estimate: its total seconds."""
    return max(MIN_STALL_TIMEOUT, TIMES_ESTIMATE * estimate)


@contextmanager
def watched(queue: Any) -> Iterator[None]:
    """End stuck workers while the block runs."""
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
            interrupt("Ray has ended on this machine; run the same command again to resume")
            return
        try:
            ray.get(queue.nodes_died.remote(dead), timeout=CHECK_SECONDS)
            stuck: list[Stuck] = ray.get(queue.stuck.remote(), timeout=CHECK_SECONDS)
            for one in stuck:
                _logger.info("%s: no progress, ending its worker %d", one.trial_id, one.pid)
                _end(one)
        except (ray.exceptions.RayError, TimeoutError):
            continue  # the queue or a node is busy or gone: check again later


def _dead_nodes() -> list[str] | None:
    """List the nodes that have died; None if Ray itself has ended, so that they are unknown."""
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
