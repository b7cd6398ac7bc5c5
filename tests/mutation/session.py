"""One session of pytest that runs the selected tests on fault after fault, each in its own fork.

Run in mutants/, with the names of the faults on standard input; prints a line of JSON for each. The
tests are imported once. They first run without a fault, to learn which functions each test
executes. What the set-up of a test executes counts for every test of its file, since fixtures and
caches are shared.
"""

import contextlib
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Final

import pytest
from mutmut.configuration import config
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

from tests.mutation.faults import NO_TESTS, NOTICED, SURVIVED, TIMEOUT

MAX_SECONDS: Final = 8.0
"""Tests of one function take at most this long: beyond it only the fastest are run."""
TIMES_LONGER: Final = 4.0
GRACE_SECONDS: Final = 20.0
"""A fault that takes this many times, and seconds, longer than the tests do hangs."""
POLL_SECONDS: Final = 0.005
EXPECTED: Final = (pytest.skip.Exception, pytest.xfail.Exception)


class Baseline:
    """The tests of each function and their durations, learned from a run without a fault."""

    def __init__(self) -> None:
        self.tests: dict[str, set[str]] = defaultdict(set)
        self.shared: dict[str, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Note the functions that a test has executed."""
        for function in state()._stats:
            if call.when == "setup":
                self.shared[function].add(item.path.as_posix())
            self.tests[function].add(item.nodeid)
        state()._stats.clear()
        self.seconds[item.nodeid] += call.duration

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that fails without a fault."""
        if report.failed:
            self.failed.append(report.nodeid)

    def chosen(self, function: str, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Return the tests of a function: its mirrored file first, then the fastest files."""
        own, shared = self.tests.get(function, set()), self.shared.get(function, set())
        found = [one for one in items if one.nodeid in own or one.path.as_posix() in shared]
        mirror = f"test_{function.split('.')[-2]}.py"
        by_file: dict[Path, float] = defaultdict(float)
        for one in found:
            by_file[one.path] += self.seconds[one.nodeid]

        def rank(one: pytest.Item) -> tuple[bool, float, str, float]:
            own_file = one.path.name != mirror, by_file[one.path], str(one.path)
            return *own_file, self.seconds[one.nodeid]

        kept, total = [], 0.0
        for one in sorted(found, key=rank):
            total += self.seconds[one.nodeid]
            if not kept or total <= MAX_SECONDS:
                kept.append(one)
        return kept


class FaultRunner:
    """A plugin of pytest whose loop over the tests is a loop over faults."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests of each fault in a fork of this session."""
        baseline = _baseline(session)
        gc.freeze()
        for name in self._names:
            began = time.monotonic()
            tests = baseline.chosen(name.partition("__mutmut_")[0], session.items)
            limit = TIMES_LONGER * sum(baseline.seconds[one.nodeid] for one in tests)
            verdict = NO_TESTS
            if tests:
                verdict = _verdict(session, name, tests, limit + GRACE_SECONDS)
            seconds = round(time.monotonic() - began, 2)
            _say({"name": name, "verdict": verdict, "seconds": seconds, "tests": len(tests)})
        return True


class EndAtFirstFailure:
    """A plugin that ends the process of a fault that a test has noticed, and writes no report."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """End the process if the test failed."""
        if call.excinfo is not None and not call.excinfo.errisinstance(EXPECTED):
            os._exit(NOTICED)


def _say(what: dict[str, object]) -> None:
    print(json.dumps(what), flush=True)


def _baseline(session: pytest.Session) -> Baseline:
    """Run every test without a fault, in a fork, so that this process stays as it is.

    Raises:
        pytest.Exit: Tests fail without a fault.
    """
    baseline = Baseline()
    with tempfile.TemporaryDirectory() as home:
        found = Path(home, "baseline.json")

        def run() -> int:
            session.config.pluginmanager.register(baseline)
            _run(session, session.items)
            found.write_text(
                json.dumps(
                    [
                        {name: sorted(tests) for name, tests in baseline.tests.items()},
                        {name: sorted(files) for name, files in baseline.shared.items()},
                        baseline.seconds,
                        baseline.failed,
                    ]
                )
            )
            return 0

        _await(_fork(run, "stats", Path(home, "work")), 3600.0)
        if not found.is_file():
            pytest.exit("the run without a fault was ended", 1)
        tests, shared, seconds, failed = json.loads(found.read_text())
    if failed:
        pytest.exit(f"{len(failed)} tests fail without a fault: {', '.join(failed[:5])}", 1)
    baseline.tests.update({name: set(own) for name, own in tests.items()})
    baseline.shared.update({name: set(own) for name, own in shared.items()})
    baseline.seconds.update(seconds)
    return baseline


def _verdict(session: pytest.Session, name: str, tests: Sequence[pytest.Item], limit: float) -> int:
    """Run tests on one fault in a fork, and return what became of it."""
    with tempfile.TemporaryDirectory() as home:

        def run() -> int:
            resource.setrlimit(resource.RLIMIT_CPU, (int(limit) + 1, int(limit) + 2))
            session.config.pluginmanager.register(EndAtFirstFailure())
            _run(session, tests)
            return SURVIVED

        status = _await(_fork(run, name, Path(home, "work")), 4 * limit)
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return TIMEOUT
    return SURVIVED if status == 0 else NOTICED


def _run(session: pytest.Session, tests: Sequence[pytest.Item]) -> None:
    """Run tests one after another."""
    for one, following in pairwise(chain(tests, [None])):
        session.config.hook.pytest_runtest_protocol(item=one, nextitem=following)


def _fork(run: Callable[[], int], fault: str, home: Path) -> int:
    """Start a process group that runs tests with a fault and says nothing; return its number."""
    pid = os.fork()
    if pid:
        return pid
    status = NOTICED
    try:
        os.setpgrp()
        quiet = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(quiet, stream)
        home.mkdir()
        os.environ["TMPDIR"] = str(home)
        tempfile.tempdir = None
        set_mutant_under_test(fault)
        status = run()
    finally:
        os._exit(status)


def _await(pid: int, seconds: float) -> int:
    """Wait for a process, end it and its children after a time, and return its exit status."""
    deadline = time.monotonic() + seconds
    ended, status = os.waitpid(pid, os.WNOHANG)
    while not ended:
        if time.monotonic() > deadline:
            _end_group(pid)
            deadline += seconds
        time.sleep(POLL_SECONDS)
        ended, status = os.waitpid(pid, os.WNOHANG)
    _end_group(pid)
    return os.waitstatus_to_exitcode(status)


def _end_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def main() -> int:
    """Run the faults that standard input names."""
    names = sys.stdin.read().split()
    config()  # of this directory, before a test changes to another
    arguments = [*config().pytest_add_cli_args_test_selection, *config().pytest_add_cli_args]
    return pytest.main(
        ["-s", "-qq", "--no-header", "--hypothesis-seed=0", *arguments],
        plugins=[FaultRunner(names)],
    )


if __name__ == "__main__":
    sys.exit(main())
