"""The dashboard of a local Ray: started beside its workers, and ended without a wait.

``ray.init`` starts the dashboard and the monitor of its autoscaler before anything that a worker
needs, waits until the dashboard answers, and starts much of both where no dashboard is wanted too.
Importing them takes 3 CPU-seconds. A local Ray therefore starts without them, and
:func:`start_dashboard` starts them while the workers import their libraries.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

import ray
from ray._private import ray_constants, services
from ray._private import worker as ray_worker
from ray._private.node import Node

NOT_NEEDED_BY_WORKERS: Final = ("start_api_server", "start_monitor")
"""Methods of Ray's node that start the dashboard, and the monitor that its overview shows."""
_known: Final[WeakSet[Any]] = WeakSet()
"""Nodes whose dashboard was started, or looked for."""
_ended: Final[WeakSet[Any]] = WeakSet()
"""Nodes that this process ends or has ended, after which a start that fails is no news."""


@contextmanager
def without_dashboard() -> Iterator[None]:
    """Start no dashboard with a Ray that is started within the block; Ray has no such option.

    A Ray whose node lacks these methods starts all that it has, as it does by itself.
    """
    before = {name: getattr(Node, name) for name in NOT_NEEDED_BY_WORKERS if hasattr(Node, name)}
    for name in before:
        setattr(Node, name, lambda node, **options: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def start_dashboard(say: Callable[[str], None]) -> None:
    """Start the dashboard that the local Ray of this process was asked for, and don't wait for it.

    say: receives a line once it answers (for a joined cluster at once): its address, that there is
    none, or why it does not start, which is no reason to end a sweep. Nothing is started, or said,
    a second time for the same Ray.
    """
    node = _node()
    if node in _known:
        return
    _known.add(node)
    if node.webui_url is not None or not (node.head and node._ray_params.include_dashboard):
        say(_describe(node))
        return
    threading.Thread(target=_run, args=(node, say), name="dashboard", daemon=True).start()


def _run(node: Any, say: Callable[[str], None]) -> None:
    """Start the dashboard in this thread, which lasts as long as the process from then on.

    Linux ends Ray's processes with the thread that has started them.
    """
    _start(node, say)
    threading.Event().wait()


def _start(node: Any, say: Callable[[str], None]) -> None:
    """Start the dashboard, and say where it is, or why it does not start; raise nothing."""
    try:
        with _without_log():
            node.start_monitor()
            node.start_api_server(include_dashboard=True, raise_on_failure=True)
        message = _describe(node)
    except Exception as error:  # Ray raises bare ones, which end with the last lines of its log
        why = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        message = f"no Ray dashboard: {why}; its logs are in {node.get_logs_dir_path()}"
    if node not in _ended:
        say(message)


@contextmanager
def _without_log() -> Iterator[None]:
    """Drop the lines that Ray logs in this thread beside the error that it raises."""
    logger, this_thread = logging.getLogger(services.__name__), threading.get_ident()

    def is_of_another(record: logging.LogRecord) -> bool:
        return record.thread != this_thread

    logger.addFilter(is_of_another)
    try:
        yield
    finally:
        logger.removeFilter(is_of_another)


def _describe(node: Any) -> str:
    token = "   (if it asks for a token: ray get-auth-token)"
    return f"Ray dashboard: {f'http://{node.webui_url}{token}' if node.webui_url else 'none'}"


def end_ray() -> None:
    """End the connection to Ray, and a local Ray, at once; at the exit, Ray itself takes longer.

    Its monitor ignores the signal to end, which Ray waits a second for, and at the exit of a
    process Ray waits half a second for lines of its workers, which nobody has asked for.
    """
    if not ray.is_initialized():
        return
    node = _node()
    _ended.add(node)
    if ray_constants.PROCESS_TYPE_MONITOR in node.all_processes:
        node.kill_monitor(check_alive=False)
    ray.shutdown()


def _node() -> Any:
    """Return Ray's node of this process, which Ray's interface does not have."""
    return ray_worker._global_node
