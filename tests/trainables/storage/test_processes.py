"""Whether the process that owns a file still runs, also where it is hidden from this user."""

import os
import signal
from pathlib import Path

import pytest

from trainables.storage import processes
from trainables.storage.processes import born, owner_runs, still_runs, this_owner


@pytest.fixture
def hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide all processes but this one, as hidepid=2 does."""
    read, own = Path.read_text, f"/proc/{os.getpid()}/stat"

    def read_text(self: Path, **options: str) -> str:
        if self.name == "stat" and str(self) != own:
            raise FileNotFoundError(2, "No such file or directory", str(self))
        return read(self, **options)

    monkeypatch.setattr(Path, "read_text", read_text)


def answer(monkeypatch: pytest.MonkeyPatch, error: type[OSError] | None) -> None:
    """Make the system answer a signal to another process."""

    def kill(pid: int, signum: int) -> None:
        assert signum == 0
        if error is not None:
            raise error

    monkeypatch.setattr(processes.os, "kill", kill)


@pytest.mark.parametrize(
    ("error", "runs"), [(PermissionError, None), (None, None), (ProcessLookupError, False)]
)
def test_a_process_that_is_hidden_may_run(hidden, monkeypatch, error, runs) -> None:
    answer(monkeypatch, error)
    machine = this_owner().split("-")[0]
    assert owner_runs(f"{machine}-{os.getppid()}-77") is runs
    assert owner_runs(this_owner()) is True


@pytest.mark.parametrize(("error", "start"), [(None, "running"), (ProcessLookupError, "")])
def test_without_proc_a_process_of_this_user_is_found_by_a_signal(
    monkeypatch, tmp_path, error, start
) -> None:
    monkeypatch.setattr(processes, "Path", lambda path: tmp_path / str(path).strip("/"))
    answer(monkeypatch, error)
    assert born(7) == start
    assert still_runs(7, "running") is (error is None)


def test_a_process_that_has_ended_but_was_not_collected_does_not_run() -> None:
    pid = os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
    start = born(pid)
    assert still_runs(pid, start) is True
    assert still_runs(pid, start + "1") is False
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert still_runs(pid, start) is False
    os.waitpid(pid, 0)
    assert still_runs(pid, start) is False


@pytest.mark.parametrize("pid", [0, -1, 2**70])
def test_a_number_that_no_process_can_have_is_that_of_none(pid) -> None:
    assert still_runs(pid, "77") is False
