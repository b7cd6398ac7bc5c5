"""Servers end with the process that started them, and what one left behind is taken over."""

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from benchmarks.processes import alive, descendants, wait_for
from orchestrator.cli.errors import InputError
from orchestrator.mlflow_server import supervisor
from orchestrator.mlflow_server.supervisor import (
    GUARDIAN,
    HOME_VARIABLE,
    child,
    end_leftovers,
    sole_owner,
)

SLEEP = shutil.which("sleep")
PARENT = """
import os, signal, sys
from pathlib import Path
from orchestrator.mlflow_server.supervisor import HOME_VARIABLE, child, supervised
home = Path(sys.argv[1])
with supervised(home, home / "postgres") as n_left:
    environment = os.environ | {HOME_VARIABLE: str(home)}
    with child(["sleep", "100"], signal.SIGTERM, home / "log", env=environment) as process:
        print(n_left, process.pid, flush=True)
        process.wait()
"""
DEAF = ["sh", "-c", "trap '' TERM INT; while :; do sleep 0.05; done"]


def sleeping(name: str = "sleep", **options: object) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([name, "100"], **options)


def test_children_end_with_a_parent_that_is_killed_and_it_can_start_again_at_once(tmp_path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
        with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as parent:
            _, pid = map(int, parent.stdout.readline().split())
            family = set(descendants(parent.pid))
            assert len(family) == 2  # the child, and the guardian
            assert pid in family
            parent.send_signal(how)
    wait_for(lambda: not alive(family), "the child and the guardian to end", timeout=20)


def test_a_child_has_a_session_of_its_own_and_ends_with_the_block(tmp_path) -> None:
    with child(["sleep", "100"], signal.SIGTERM, tmp_path / "log") as process:
        assert os.getsid(process.pid) == process.pid != os.getsid(0)
    assert process.returncode == -signal.SIGTERM


def test_a_child_that_does_not_end_is_killed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.3)
    with child(DEAF, signal.SIGTERM, tmp_path / "log") as process:
        wait_for(lambda: b"SigIgn" in (Path(f"/proc/{process.pid}/status").read_bytes()), "sh")
    assert process.returncode in (-signal.SIGKILL, -signal.SIGTERM)


def test_a_home_has_one_owner_at_a_time(tmp_path) -> None:
    with (
        sole_owner(tmp_path, "17"),
        pytest.raises(InputError, match=r"process 17\); end it.*--home"),
        sole_owner(tmp_path, "18"),
    ):
        pass
    with sole_owner(tmp_path, "18"):
        pass


def test_a_guardian_waits_for_the_lock_of_its_killed_owner(tmp_path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with sole_owner(tmp_path, "17"):  # its pipe may be closed before its lock ends
            waiting = pool.submit(sole_owner(tmp_path, GUARDIAN, ending="17").__enter__)
            assert not wait([waiting], timeout=0.5).done
        waiting.result(10)


def test_a_guardian_that_ends_processes_is_waited_for(tmp_path) -> None:
    with ThreadPoolExecutor(1) as pool, sole_owner(tmp_path, GUARDIAN):
        waiting = pool.submit(sole_owner(tmp_path, "19").__enter__)
        assert not wait([waiting], timeout=0.5).done
        (tmp_path / "owner").rename(tmp_path / "gone")  # its lock is not this test's to end
        (tmp_path / "gone").write_text("17", encoding="utf-8")
        with pytest.raises(InputError, match="process 17"):
            waiting.result(10)


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch) -> None:
    def none(*arguments: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(supervisor.fcntl, "flock", none)
    with sole_owner(tmp_path, "18"):
        pass


def test_what_an_earlier_server_left_is_ended_and_nothing_else(tmp_path) -> None:
    databases, other = tmp_path / "postgres", tmp_path / "other"
    program = tmp_path / "bin" / "postgres"
    for folder in (databases, other, program.parent):
        folder.mkdir()
    shutil.copy(SLEEP, program)
    server = sleeping(env={HOME_VARIABLE: str(tmp_path)}, start_new_session=True)
    postmaster = sleeping(str(program), cwd=databases)
    backend = sleeping(str(program), cwd=databases)
    strangers = [
        sleeping(env={HOME_VARIABLE: str(other)}),
        sleeping(str(program), cwd=other),
        sleeping(cwd=databases),  # someone looks at the files
    ]
    try:
        wait_for(
            lambda: Path(f"/proc/{backend.pid}/comm").read_bytes() == b"postgres\n", "the program"
        )
        (databases / "postmaster.pid").write_text(f"{postmaster.pid}\n", encoding="utf-8")
        assert end_leftovers(tmp_path, databases) == 3
        assert server.wait(5) == -signal.SIGTERM
        assert postmaster.wait(5) == -signal.SIGINT
        assert backend.wait(5) == -signal.SIGQUIT
        assert [one.poll() for one in strangers] == [None] * 3
        assert end_leftovers(tmp_path, databases) == 0
    finally:
        for one in (server, postmaster, backend, *strangers):
            one.kill()
            one.wait()


def test_this_process_and_those_that_started_it_are_not_ended(tmp_path, monkeypatch) -> None:
    """A shell that exports the variable, for whatever reason, is no server."""
    asked: list[int] = []
    monkeypatch.setattr(supervisor, "_has_variable", lambda pid, _: bool(asked.append(pid)))
    with sleeping() as other:
        assert end_leftovers(tmp_path, tmp_path / "postgres") == 0
        other.kill()
    assert other.pid in asked
    assert not {os.getpid(), os.getppid()} & set(asked)
    assert not HOME_VARIABLE.startswith("CORTEX_SWEEP")  # as this program's settings


def test_the_number_of_a_process_that_is_not_postgresql_is_forgotten(tmp_path) -> None:
    """After a reboot, another process may have the number of the one that was killed."""
    record = tmp_path / "postmaster.pid"
    for content in (f"{os.getpid()}\n/data\n", "nonsense", ""):
        record.write_text(content, encoding="utf-8")
        assert end_leftovers(tmp_path.parent, tmp_path) == 0
        assert not record.exists()


def test_a_process_that_is_deaf_is_killed_in_the_end(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(supervisor, "END_SECONDS", 0.5)
    deaf = subprocess.Popen(DEAF, env={**os.environ, HOME_VARIABLE: str(tmp_path)})
    try:
        assert end_leftovers(tmp_path, tmp_path / "postgres") >= 1
        assert deaf.wait(5) in (-signal.SIGKILL, -signal.SIGTERM)
    finally:
        deaf.kill()
        deaf.wait()
