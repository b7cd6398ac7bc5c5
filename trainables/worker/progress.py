"""Listeners to a trial's progress, and the timing of its steps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Protocol

from trainables.results.epoch_report import EpochReport
from trainables.results.event_log import TrialLog
from trainables.spec.evaluation import WorkItem


class Listener(Protocol):
    """Receives a trial's progress, and knows what probably comes after it."""

    def stage(self, name: str) -> None:
        """Handle the start of a step."""
        ...

    def epoch(self, report: EpochReport) -> bool:
        """Handle the report of an epoch; return False to stop the trial."""
        ...

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        """Guess the worker's next trial, in any thread; None where none is known.

        held: shards of the subjects that the worker has in memory.
        """
        ...


class Silent:
    """A listener that ignores progress, for the assisting workers of a process group."""

    def stage(self, name: str) -> None:
        """Ignore the start of a step."""

    def epoch(self, report: EpochReport) -> bool:
        """Return True: the trial continues."""
        return True

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        """Return None: the first worker prefetches."""
        return None


@dataclass
class Clock:
    """Measures the seconds of each step, summed over subjects."""

    listener: Listener
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step, and time it."""
        self.listener.stage(name)
        with self.timed(name):
            yield

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Time a step; repeated steps add up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Logged:
    """Forwards a trial's progress to a listener and writes it to the trial's log."""

    listener: Listener
    log: TrialLog

    def stage(self, name: str) -> None:
        """Log and forward the start of a step."""
        self.log.note("stage", stage=name)
        self.listener.stage(name)

    def epoch(self, report: EpochReport) -> bool:
        """Log and forward the report of an epoch."""
        self.log.note("epoch", **asdict(report))
        return self.listener.epoch(report)

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        """Ask the listener."""
        return self.listener.upcoming(held)
