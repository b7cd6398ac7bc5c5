"""Writing in the background: one task at a time, in a thread beside the computation."""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

_logger = logging.getLogger(__name__)


class Background:
    """Runs tasks one after another in a thread, which the process waits for when it ends.

    An error of a task is raised where the task is waited for, in the thread that waits.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._running: Future[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a task is running."""
        return self._running is not None and not self._running.done()

    def start(self, task: Callable[[], None]) -> None:
        """Start a task after waiting for the one before; raise that one's error instead."""
        self.wait()
        self._running = self._pool.submit(task)

    def wait(self) -> None:
        """Wait for the running task, if there is one, and raise its error."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    def drain(self) -> None:
        """Wait for the running task after an error elsewhere; log an error of its own."""
        try:
            self.wait()
        except Exception:
            _logger.warning("a task in the background failed too", exc_info=True)
