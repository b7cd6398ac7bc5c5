"""A sweep in a storm: fault after fault, the command given again where it ended, until all is done.

python -m tests.faults.storm --faults 50 --seed 0
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Final

import pyarrow as pa

from benchmarks.processes import born, descendants, kill
from orchestrator.execution.run_lock import owner_of
from tests.builders.sweep_process import Lab, scores_of
from tests.faults.faults import FAULTS, Fault, Target
from trainables.results.run_directory import RunDirectory

MAX_IDLE_STORMS: Final = 2
"""Sweeps in a row that end before their first fault: more, and the fault misses its target."""
RECOVERY_SECONDS: Final = 240.0
ORPHAN_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Pace:
    """How fast faults follow each other."""

    work_seconds: float = 3.0
    """The longest that a sweep works before the next fault, drawn anew each time."""
    stall_minutes: float = 0.34
    """The sweep's --stall-timeout."""


QUICK: Final = Pace(work_seconds=1.0, stall_minutes=0.2)
"""What CI affords: more faults hit one sweep, and a stuck worker is found sooner."""


@dataclass(frozen=True)
class Record:
    """One fault, and how long it was until a trial made progress again."""

    fault: Fault
    seconds: float


@dataclass(frozen=True)
class Cost:
    """One fault, and what the sweep that it hit had lost, had twice, and left behind at its end."""

    record: Record
    lost: int
    twice: int
    left: int


@dataclass
class Storm:
    """One sweep that things happen to."""

    lab: Lab
    out: Path
    chance: random.Random
    report: Callable[[Record], None] = lambda record: None
    pace: Pace = Pace()
    process: Popen[str] | None = None
    family: dict[int, str] = field(default_factory=dict)
    """Every process that the sweep has had, and when it was born: numbers are used again."""
    before: set[int] = field(default_factory=set)
    """Processes from before the last fault."""
    records: list[Record] = field(default_factory=list)

    def run(self, faults: Sequence[Fault]) -> list[Fault]:
        """Inject faults until the sweep is done; finish it; return the faults that are left."""
        waiting = list(faults)
        while waiting and self._works():
            started = time.time()
            if self._inject(waiting[0]):
                fault, self.before = waiting.pop(0), set(self.family)
                self._await_progress(started, fault)
                self.records.append(Record(fault, time.time() - started))
                self.report(self.records[-1])
        self._finish()
        return waiting

    def _inject(self, fault: Fault) -> bool:
        assert self.process is not None
        time.sleep(self.chance.uniform(0, self.pace.work_seconds))
        self._remember()
        target = Target(self.process.pid, self.out, self.lab.home / "data", self.chance)
        return self.process.poll() is None and fault.inject(target)

    def _remember(self) -> None:
        assert self.process is not None
        for pid in (self.process.pid, *descendants(self.process.pid)):
            self.family[pid] = born(pid)

    def _works(self) -> bool:
        """See to it that the sweep is at work; tell whether it is, or has come to its end."""
        since = time.time()
        return self._progress(since)

    def _await_progress(self, since: float, fault: Fault) -> None:
        if not self._progress(since) and not self._is_done():
            raise AssertionError(f"{fault.name}: no progress:\n{self.log()}")

    def _progress(self, since: float) -> bool:
        """Wait for a sign of progress, with the command given again where it has ended."""
        deadline = time.monotonic() + RECOVERY_SECONDS
        while time.monotonic() < deadline:
            if self._progressed(since):
                self._remember()
                return True
            if self.process is None or self.process.poll() is not None:
                if self.process is not None and self.process.returncode == 0:
                    return False
                self._start()
            time.sleep(0.1)
        return False

    def _progressed(self, since: float) -> bool:
        """Return whether a process that was not there at the last fault has begun a trial."""
        for path in self.out.glob("logs/*.jsonl"):
            if path.stat().st_mtime >= since:
                lines = map(json.loads, path.read_text().splitlines())
                if any(one["time"] > since and one["pid"] not in self.before for one in lines):
                    return True
        return False

    def _start(self) -> None:
        self.process = self.lab.start(
            self.out, "--stall-timeout", f"{self.pace.stall_minutes}", "--retries", "20"
        )

    def _is_done(self) -> bool:
        return self.process is not None and self.process.poll() == 0

    def _finish(self) -> None:
        """Give the command until it has ended well."""
        if self._is_done():
            return
        for _ in range(4):
            if self.process is None or self.process.poll() is not None:
                self._start()
            assert self.process is not None
            self._remember()
            try:
                if self.process.wait(RECOVERY_SECONDS) == 0:
                    return
            except TimeoutExpired:
                break
        kill({self.process.pid, *descendants(self.process.pid)} if self.process else set())
        raise AssertionError(f"the sweep does not come to its end:\n{self.log()}")

    def _alive(self) -> list[int]:
        return [pid for pid, since in self.family.items() if since and born(pid) == since]

    def log(self) -> str:
        """Give the end of what the sweep has said."""
        return (self.out.parent / f"{self.out.name}.log").read_text()[-4000:]

    def left_behind(self) -> list[str]:
        """List what a sweep that has ended must not leave: processes, locks, halves of files."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.5)
        parts = ("scores", "trials", "checkpoints", "predictions", "operation")
        hidden = [str(path) for part in parts for path in self.out.glob(f"{part}/**/.*")]
        owner = owner_of(RunDirectory(self.out))
        orphans = [f"process {pid}" for pid in self._alive()]
        return [*orphans, *hidden, *([owner.describe()] if owner else [])]


def storms(
    lab: Lab,
    faults: Sequence[Fault],
    seed: int,
    report: Callable[[Record], None] = lambda record: None,
    pace: Pace = Pace(),
) -> Iterator[Storm]:
    """Run sweep after sweep, each undone, until every fault has been injected."""
    chance, left, number = random.Random(seed), list(faults), 0
    idle = 0
    while left:
        storm = Storm(lab, lab.home / f"storm-{number}", chance, report, pace)
        left = storm.run(left)
        idle = 0 if storm.records else idle + 1
        if idle == MAX_IDLE_STORMS:
            raise AssertionError(f"{left[0].name}: found nothing to hit in {idle} sweeps")
        yield storm
        number += 1


def schedule(n: int, seed: int) -> list[Fault]:
    """Draw n faults: all kinds in a random order, again and again."""
    chance, drawn = random.Random(seed), []
    while len(drawn) < n:
        drawn += chance.sample(FAULTS, len(FAULTS))
    return drawn[:n]


def one_of_each_layer() -> list[Fault]:
    """List a fault of a worker, the queue, the node and the command: what CI affords.

    Those that end Ray come first: its agents take a minute to end, in which the others happen.
    """
    names = (
        "raylet killed",
        "everything killed",
        "worker killed",
        "worker stuck",
        "queue killed",
    )
    by_name = {fault.name: fault for fault in FAULTS}
    return [by_name[name] for name in names]


def main() -> None:
    """Run a nightly set, and print the table of docs/reliability.md."""
    parser = argparse.ArgumentParser(description="Inject faults into sweeps, and count the losses.")
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        lab = replace(Lab.make(Path(home), epochs=40), groups=2)
        try:
            cost = _report(lab, schedule(options.faults, options.seed), options.seed)
        finally:
            lab.end()
    sys.exit(1 if cost else 0)


def compare(found: pa.Table, expected: pa.Table) -> tuple[int, int]:
    """Count the rows of an undisturbed sweep that are missing or differ, and those too many."""
    there, due = (Counter(map(repr, table.to_pylist())) for table in (found, expected))
    return (due - there).total(), (there - due).total()


def _report(lab: Lab, faults: Sequence[Fault], seed: int) -> int:
    """Run the storms, print what each kind of fault cost, and return the sum of it."""
    undisturbed = lab.home / "undisturbed"
    lab.finish(undisturbed)
    expected = scores_of(undisturbed)
    costs: list[Cost] = []
    found: list[tuple[Storm, int, int]] = []

    def report(one: Record) -> None:
        print(f"{one.fault.name}: progress after {one.seconds:.0f} s", flush=True)

    for storm in storms(lab, faults, seed, report):
        lost, twice = compare(scores_of(storm.out), expected)
        found.append((storm, lost, twice))
        print(f"{len(storm.records)} faults: {lost} rows lost, {twice} twice", flush=True)
    for storm, lost, twice in found:  # Ray's agents take a minute to end, all at the same time
        left = storm.left_behind()
        costs += [Cost(one, lost, twice, len(left)) for one in storm.records]
    print("| fault | how injected | times | lost | twice | left | seconds to recover |")
    print("|---|---|---|---|---|---|---|")
    for fault in FAULTS:
        mine = [one for one in costs if one.record.fault is fault]
        if mine:
            print(_row(fault, mine))
    return sum(one.lost + one.twice + one.left for one in costs)


def _row(fault: Fault, costs: Sequence[Cost]) -> str:
    took = sorted(one.record.seconds for one in costs)
    span = f"{took[len(took) // 2]:.0f} ({took[0]:.0f} to {took[-1]:.0f})"
    lost, twice, left = (sum(getattr(c, name) for c in costs) for name in ("lost", "twice", "left"))
    return f"| {fault.name} | {fault.how} | {len(took)} | {lost} | {twice} | {left} | {span} |"


if __name__ == "__main__":
    main()
