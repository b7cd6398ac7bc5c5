"""A trial that is killed at each of its renames leaves a temporary file until the next command."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.execution.run_lock import acquire
from tests.builders.tiny_runs import Listener, Place, scores
from trainables.results.run_directory import RunDirectory

pytestmark = pytest.mark.usefixtures("without_ray")


def fork(action: Callable[[], object]) -> int:
    """Do something in a forked process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def kill_at_rename(number: int) -> None:
    """Have this process killed at its number-th rename."""
    rename, count = os.replace, [0]

    def instead(source: Path, target: Path) -> None:
        count[0] += 1
        if count[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(source, target)

    os.replace = instead  # type: ignore[assignment]  # in a forked process


def hidden(runs: Path) -> list[Path]:
    return [path for path in runs.rglob(".*") if path.is_file()]


def test_the_next_command_removes_what_a_killed_trial_left_and_the_scores_are_the_same(
    place: Place,
) -> None:
    trial = place.trial()
    place.runner("undisturbed").run(trial, Listener())
    runs, codes = place.home / "runs", []
    while True:

        def doomed(number: int = len(codes) + 1) -> None:
            kill_at_rename(number)
            place.runner("runs", keep="every").run(trial, Listener())

        codes.append(fork(doomed))
        if codes[-1] == 0:
            break
        left = hidden(runs)
        assert len(left) == 1, left  # and none of the kills before
        with acquire(RunDirectory(runs), "sweep demo"):
            assert hidden(runs) == []
    assert set(codes) == {-signal.SIGKILL, 0}
    assert len(codes) > 5
    assert scores(place, trial) == scores(place, trial, "undisturbed")
