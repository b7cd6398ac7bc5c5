"""Estimate the time left of running work, from observations of which trials run and end.

The measured durations of ended trials, divided by their estimated costs, correct the costs of the
others. These are then scheduled, in their order, on as many workers as run now, each of which first
finishes its running trial. A worker is between two trials for a moment, in which it counts too.
"""

import heapq
import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

BETWEEN_TRIALS: Final = 10.0
"""Seconds for which a worker without a trial is expected to get another one."""


@dataclass
class RemainingTime:
    """Estimates the seconds until all trials have ended. Times are of any one clock.

    A thread may observe while others record ends and ask.
    """

    costs: Mapping[str, float]
    """Estimated seconds of each trial, in the order in which they are started."""
    _first_seen: dict[str, float] = field(default_factory=dict)
    """When each running trial was first seen running."""
    _last_observed: float | None = None
    _numbers: deque[tuple[float, int]] = field(default_factory=deque)
    """When trials were observed lately, and how many ran."""
    _ended: set[str] = field(default_factory=set)
    _ended_seconds: float = 0.0
    """Measured seconds of the trials that finished, and their estimated seconds."""
    _ended_cost: float = 0.0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def observe(self, running: Iterable[str], now: float) -> None:
        """Record which trials run. A trial that no longer runs starts again when seen again."""
        with self._lock:
            known = self._first_seen
            seen = {one: known.get(one, now) for one in running if one not in self._ended}
            self._first_seen, self._last_observed = seen, now
            self._numbers.append((now, len(seen)))
            while self._numbers[0][0] < now - BETWEEN_TRIALS:
                self._numbers.popleft()

    def finish(self, trial_id: str, now: float) -> None:
        """Record a finished trial. One that was never seen began after the last observation."""
        with self._lock:
            began = self._first_seen.get(trial_id, self._last_observed)
            if began is not None:
                self._ended_seconds += now - began
                self._ended_cost += self.costs.get(trial_id, 0.0)
            self.drop(trial_id)

    def drop(self, trial_id: str) -> None:
        """Record a failed trial, whose duration says nothing of the others'."""
        with self._lock:
            self._ended.add(trial_id)

    def seconds_left(self, now: float) -> float | None:
        """Estimate the seconds left; None before a trial has finished, or once all have ended."""
        with self._lock:
            left = [one for one in self.costs if one not in self._ended]
            if not left or self._ended_cost <= 0:
                return None
            scale = self._ended_seconds / self._ended_cost
            running = [one for one in self._first_seen if one in self.costs]
            free_at = [
                0.0 if one in self._ended else self._seconds_left_of(one, scale, now)
                for one in running
            ]
            waiting = [scale * self.costs[one] for one in left if one not in self._first_seen]
            n_workers = max([1, *(number for _, number in self._numbers)])
        idle = [0.0] * (n_workers - len(free_at))
        return last_end([*free_at, *idle], waiting)

    def _seconds_left_of(self, trial_id: str, scale: float, now: float) -> float:
        """Estimate the seconds left of a running trial; it may take longer than estimated."""
        return max(scale * self.costs[trial_id] - (now - self._first_seen[trial_id]), 0.0)


def last_end(free_at: Collection[float], waiting: Iterable[float]) -> float:
    """Give each waiting trial to the worker that is free first; return when the last one ends.

    free_at: when each worker is free. waiting: seconds of each trial, in order.
    """
    workers = list(free_at)
    heapq.heapify(workers)
    for seconds in waiting:
        heapq.heapreplace(workers, workers[0] + seconds)
    return max(workers)
