"""Keep MLflow up to date during a sweep, in a background thread."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from orchestrator.tracking.identity import Sweep
from orchestrator.tracking.mlflow_store import tracking_uri
from trainables.storage.redaction import redact

if TYPE_CHECKING:
    from orchestrator.tracking.mlflow_runs import Mirror

MAX_FAILURES: Final = 3
"""Trials that a store rejects one after another until the others wait for the next attempt."""
SLOW_SECONDS: Final = 3.0
PAUSE_SECONDS: Final = 30.0
"""Pause after a store that took more than SLOW_SECONDS to fail."""


class Tracker:
    """Mirrors trials in a separate thread, so that a slow or unreachable MLflow delays nothing."""

    def __init__(self, open_mirror: Callable[[], "Mirror"], warn: Callable[[str], None]) -> None:
        self._open = open_mirror
        self._warn = warn
        self._mirror: Mirror | None = None
        self._due: queue.Queue[Sequence[str] | None] = queue.Queue()
        self._pending: list[str] = []
        self._down_until = 0.0
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)
        self._thread.start()

    def prepare(self) -> None:
        """Open the store soon, so that the first trial to end does not wait for it.

        Importing MLflow and creating its tables take seconds, in which trials already run.
        """
        self._due.put(())

    def due(self, trial_ids: Sequence[str]) -> None:
        """Schedule trials for mirroring."""
        if trial_ids:
            self._due.put(tuple(trial_ids))

    def close(self, *, complete: bool, numbers: Mapping[str, float] | None = None) -> list[str]:
        """Mirror pending trials, end the parent run, and return the trials missing in MLflow.

        complete: whether every trial of the sweep is finished. numbers: of the whole sweep.
        """
        self._due.put(None)
        self._thread.join()
        self._try_pending()
        if self._mirror is not None and numbers is not None:
            self._attempt(lambda mirror: mirror.summarise(numbers))
        if self._mirror is not None and not self._pending:
            self._attempt(lambda mirror: mirror.close(complete=complete))
        return list(self._pending)

    def _work(self) -> None:
        while True:
            # All pending trials at once: a store that is down is called once, not once per trial.
            due = [self._due.get()]
            while not self._due.empty():
                due.append(self._due.get())
            self._pending.extend(one for ids in due if ids is not None for one in ids)
            if None in due:
                return
            if self._pending:
                self._try_pending()
            else:
                self._is_open()

    def _try_pending(self) -> None:
        """Write pending trials; keep those that can't be written for the next attempt."""
        kept: list[str] = []
        n_failures = 0
        while self._pending and n_failures < MAX_FAILURES and self._is_open():
            trial_id = self._pending.pop(0)
            if self._attempt(lambda mirror, due=trial_id: mirror.write(due)):  # type: ignore[misc]
                n_failures = 0
            else:
                kept.append(trial_id)
                n_failures += 1
        self._pending = [*self._pending, *kept]

    def _is_open(self) -> bool:
        """Open the store unless it is open; return whether it is.

        A store that has just been waited for in vain is not waited for again.
        """
        if self._mirror is None and time.monotonic() < self._down_until:
            return False
        began = time.monotonic()
        is_open = self._attempt(lambda mirror: None)
        took = time.monotonic() - began
        if not is_open and took > SLOW_SECONDS:
            self._down_until = time.monotonic() + PAUSE_SECONDS
        return is_open

    def _attempt(self, action: Callable[["Mirror"], None]) -> bool:
        try:
            if self._mirror is None:
                self._mirror = self._open()
            action(self._mirror)
        except Exception as error:  # whatever the store raises: results are safe in files
            self._mirror = None
            message = (str(error).splitlines() or [type(error).__name__])[0]
            self._warn(redact(f"MLflow ({tracking_uri()}): {message[:300]}"))
            return False
        return True


def start_tracker(sweep: Sweep, warn: Callable[[str], None]) -> Tracker:
    """Start mirroring a sweep to the tracking store named by the environment."""
    return Tracker(lambda: _open_mirror(sweep), warn)


def _open_mirror(sweep: Sweep) -> "Mirror":
    """Open the store in the tracker's thread, which alone waits for MLflow to be imported."""
    from orchestrator.tracking.mlflow_runs import Mirror

    for name in ("alembic", "mlflow"):  # after the import, which sets their levels
        logging.getLogger(name).setLevel(logging.ERROR)
    return Mirror(sweep, tracking_uri())
