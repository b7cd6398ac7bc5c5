"""Who hears how a trial goes, and the clock of its steps."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Protocol

from trainables.results.epoch_report import EpochReport
from trainables.results.event_log import TrialLog


class Listener(Protocol):
    """Who is told how a trial goes."""

    def stage(self, name: str) -> None:
        """Hear that a step begins."""
        ...

    def epoch(self, report: EpochReport) -> bool:
        """Hear of an epoch; return False to stop the trial."""
        ...


class Silent:
    """A listener that nobody hears, as of a worker that assists."""

    def stage(self, name: str) -> None:
        """Pass over it."""

    def epoch(self, report: EpochReport) -> bool:
        """Let the trial go on."""
        return True


@dataclass
class Clock:
    """Seconds of each step so far, over all subjects."""

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
        """Time a step, or a further part of one."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


@dataclass(frozen=True)
class Logged:
    """Passes on how a trial goes, and writes it down."""

    listener: Listener
    log: TrialLog

    def stage(self, name: str) -> None:
        """Note that a step begins."""
        self.log.note("stage", stage=name)
        self.listener.stage(name)

    def epoch(self, report: EpochReport) -> bool:
        """Note an epoch."""
        self.log.note("epoch", **asdict(report))
        return self.listener.epoch(report)
