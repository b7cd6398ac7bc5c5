"""The run lock of a sweep's directory: one owner at a time, and a dead one's ends."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.execution import run_lock
from orchestrator.execution.lock_owner import LockOwner
from orchestrator.execution.run_lock import KEPT, acquire, owner_of
from tests.builders.file_systems import refuse_links
from tests.builders.run_locks import elsewhere, first_lock, write
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import write_text

ACQUIRE = """
import sys, time
from pathlib import Path
from orchestrator.execution.run_lock import acquire
from trainables.results.run_directory import RunDirectory
with acquire(RunDirectory(Path(sys.argv[1])), "sweep paper"):
    print("held", flush=True)
    time.sleep(60)
"""


def start_owner(runs: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", ACQUIRE, str(runs)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_owner_is_refused_and_reported_who_holds_it(tmp_path: Path) -> None:
    with acquire(RunDirectory(tmp_path), "sweep paper"), pytest.raises(InputError) as refused:
        acquire(RunDirectory(tmp_path), "sweep demo").__enter__()
    message = str(refused.value)
    assert f"in use by sweep paper, process {os.getpid()} on " in message
    assert "sweep cancel" in message
    assert owner_of(RunDirectory(tmp_path)) is None
    assert list(first_lock(tmp_path).parent.iterdir()) == [first_lock(tmp_path)]


def test_another_process_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    process = start_owner(tmp_path)
    with pytest.raises(InputError, match=f"process {process.pid} on"):
        acquire(RunDirectory(tmp_path), "sweep demo").__enter__()
    process.kill()
    process.wait()
    with acquire(RunDirectory(tmp_path), "sweep demo"):
        found = owner_of(RunDirectory(tmp_path))
        assert found is not None
        assert found.pid == os.getpid()


def test_a_process_with_a_dead_holders_number_is_not_taken_for_it(tmp_path: Path) -> None:
    write(tmp_path, replace(LockOwner.this_process("sweep"), born="1"))
    with acquire(RunDirectory(tmp_path), "sweep demo"):
        assert owner_of(RunDirectory(tmp_path)) != LockOwner.read(first_lock(tmp_path))


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_the_lock_needs_no_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_links(monkeypatch, number)
    runs = RunDirectory(tmp_path)
    for _ in range(2):
        with acquire(runs, "sweep paper"), pytest.raises(InputError, match="in use by sweep paper"):
            acquire(runs, "sweep demo").__enter__()
    assert sorted(path.name for path in runs.operation.path.iterdir()) == [
        "lock-000001.json",
        "lock-000002.json",
    ]


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_directory_that_cannot_be_written_to_is_refused_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=f"^{tmp_path}: can't be written to .*another --out"):
        acquire(RunDirectory(tmp_path), "sweep demo").__enter__()


@pytest.mark.parametrize("change", ["moved", "removed", "replaced"])
def test_a_directory_that_goes_away_ends_the_command_with_an_error(
    tmp_path: Path, change: str
) -> None:
    runs = tmp_path / "runs"

    def work() -> None:
        with acquire(RunDirectory(runs), "sweep demo"):
            (runs.rename(tmp_path / "other") if change == "moved" else shutil.rmtree(runs))
            if change == "replaced":
                write_text(runs / "trials" / "t.json", "{}")  # a worker goes on writing

    with pytest.raises(InputError, match=f"{runs}: was moved or removed during this command"):
        work()


def test_a_command_whose_directory_goes_away_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_lock, "RENEW", 0.02)

    def work() -> None:
        with acquire(RunDirectory(tmp_path / "runs"), "sweep demo"):
            (tmp_path / "runs").rename(tmp_path / "other")
            time.sleep(10)

    with pytest.raises(InputError, match="was moved or removed") as ended:
        work()
    assert isinstance(ended.value.__context__, KeyboardInterrupt)
    assert "has been moved or removed" in capfd.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_command_that_is_stopping_still_renews_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_lock, "RENEW", 0.02)
    runs = RunDirectory(tmp_path)

    def stop_slowly() -> None:
        with acquire(runs, "sweep demo"):
            runs.cancel_file.write_text("")
            try:
                time.sleep(10)
            finally:
                stopping.append(owner_of(runs))
                deadline = time.monotonic() + 10
                while owner_of(runs) == stopping[0] and time.monotonic() < deadline:
                    time.sleep(0.01)
                stopping.append(owner_of(runs))

    stopping: list[LockOwner | None] = []
    with pytest.raises(KeyboardInterrupt):
        stop_slowly()
    first, last = stopping
    assert first is not None
    assert last is not None
    assert first.key == last.key
    assert first.renewed < last.renewed


@pytest.mark.parametrize("content", ["{", "[" * 100_000, "[1]", "null", '{"key": 3}'])
def test_a_damaged_run_lock_holds_nobody_up(tmp_path: Path, content: str) -> None:
    first_lock(tmp_path).write_text(content)
    with acquire(RunDirectory(tmp_path), "sweep demo"):
        assert owner_of(RunDirectory(tmp_path)) is not None


def test_former_run_locks_are_cleared_away(tmp_path: Path) -> None:
    for _ in range(KEPT + 3):
        with acquire(RunDirectory(tmp_path), "sweep demo"):
            pass
    assert len(list((tmp_path / "operation").iterdir())) == KEPT
    assert not first_lock(tmp_path).exists()


def test_a_number_given_long_ago_is_not_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that slept between its look and its grasp finds that others were there."""
    for _ in range(KEPT + 3):
        with acquire(RunDirectory(tmp_path), "sweep demo"):
            pass
    numbers, looks = run_lock._numbers, [[]]
    monkeypatch.setattr(run_lock, "_numbers", lambda runs: looks.pop() if looks else numbers(runs))
    with acquire(RunDirectory(tmp_path), "sweep late"):
        found = owner_of(RunDirectory(tmp_path))
    assert found is not None
    assert found.command == "sweep late"
    assert not first_lock(tmp_path).exists()
    assert numbers(RunDirectory(tmp_path))[-1] == KEPT + 4


def test_of_many_that_see_a_dead_owner_exactly_one_takes_over(tmp_path: Path) -> None:
    write(tmp_path, replace(LockOwner.this_process("sweep"), born="1"))
    owners, refusals = [], []
    begin, leave = threading.Barrier(8), threading.Event()

    def contend(number: int) -> None:
        begin.wait()
        try:
            with acquire(RunDirectory(tmp_path), f"sweep {number}"):
                owners.append(number)
                leave.wait(30)
        except InputError:
            refusals.append(number)
            if len(refusals) == 7:
                leave.set()

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(40)
    assert len(owners) == 1
    assert len(refusals) == 7


@pytest.mark.parametrize("cause", ["cancelled", "taken over"])
def test_the_owner_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], cause: str
) -> None:
    monkeypatch.setattr(run_lock, "RENEW", 0.05)
    other = elsewhere(LockOwner.this_process("sweep paper"), age=0)

    def work() -> None:
        with acquire(RunDirectory(tmp_path), "sweep demo"):
            if cause == "cancelled":
                RunDirectory(tmp_path).cancel_file.write_text("")
            else:
                later = first_lock(tmp_path).with_name("lock-000002.json")
                later.write_text(json.dumps(asdict(replace(other, key="another"))))
            time.sleep(10)

    with pytest.raises(KeyboardInterrupt):
        work()
    message = {"cancelled": "asked to stop by sweep cancel", "taken over": "on node-7, since"}
    assert message[cause] in capfd.readouterr().err
    assert (owner_of(RunDirectory(tmp_path)) is not None) == (cause == "taken over")


def test_a_request_to_stop_an_earlier_owner_stops_no_later_one(tmp_path: Path) -> None:
    with acquire(RunDirectory(tmp_path), "sweep paper"):
        RunDirectory(tmp_path).cancel_file.write_text("a key of old")
    with acquire(RunDirectory(tmp_path), "sweep demo"):
        assert not RunDirectory(tmp_path).cancel_file.exists()


def test_the_run_lock_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_lock, "RENEW", 0.02)
    with acquire(RunDirectory(tmp_path), "sweep demo"):
        first = owner_of(RunDirectory(tmp_path))
        assert first is not None
        deadline = time.monotonic() + 10
        while owner_of(RunDirectory(tmp_path)) == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("before", [signal.SIG_IGN, signal.default_int_handler])
def test_a_command_in_the_background_is_interrupted_too(
    tmp_path: Path, before: signal.Handlers
) -> None:
    kept = signal.signal(signal.SIGINT, before)
    try:
        with acquire(RunDirectory(tmp_path), "sweep demo"), pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, kept)
