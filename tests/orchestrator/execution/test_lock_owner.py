"""Whether the owner of a run lock lives: judged by change, never by comparing clocks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.execution import lock_owner, run_lock
from orchestrator.execution.lock_owner import EXPIRES, LockOwner, is_alive
from orchestrator.execution.run_lock import acquire
from tests.builders.file_systems import deny
from tests.builders.run_locks import elsewhere, first_lock, write
from trainables.exceptions import Denied
from trainables.results.run_directory import RunDirectory


class Watch:
    """The time of an observer: sleeping takes no real time, and something may happen meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.then: dict[float, Callable[[], object]] = {}
        monkeypatch.setattr(lock_owner.time, "monotonic", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for at in [at for at in self.then if at <= self.now]:
            self.then.pop(at)()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.mark.parametrize("age", [0, 10, 7200, -7200, 1e9], ids=lambda age: f"{age:g} s old")
@pytest.mark.parametrize("renewed_after", [4.0, 20.0, None])
def test_another_hosts_owner_lives_while_its_record_changes_whatever_its_clock(
    tmp_path: Path, watch: Watch, age: float, renewed_after: float | None
) -> None:
    path = first_lock(tmp_path)
    there = elsewhere(LockOwner.this_process("sweep"), age=age)
    write(tmp_path, there)
    if renewed_after is not None:
        # a clock that is set back, or stands still, renews too
        later = replace(there, renewed=there.renewed - 3600)
        watch.then[renewed_after] = lambda: write(tmp_path, later)
    assert is_alive(RunDirectory(tmp_path), path, watch.sleep) is (renewed_after is not None)
    assert watch.now <= (renewed_after or EXPIRES) + 1
    assert EXPIRES <= 30
    assert EXPIRES > 4 * run_lock.RENEW  # several renewals may fail


@pytest.mark.parametrize("renews", [True, False])
def test_an_owner_whose_process_is_hidden_on_this_machine_is_observed(
    tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch, renews: bool
) -> None:
    """With hidepid=2, /proc shows no other user's process."""
    owner = LockOwner.this_process("sweep")
    write(tmp_path, owner)
    monkeypatch.setattr(lock_owner, "still_runs", lambda pid, start: None)
    if renews:
        later = replace(owner, renewed=owner.renewed + 5)
        watch.then[4.0] = lambda: write(tmp_path, later)
    assert is_alive(RunDirectory(tmp_path), first_lock(tmp_path), watch.sleep) is renews
    assert watch.now == (4 if renews else EXPIRES)


def test_a_lock_that_is_released_while_it_is_observed_is_free(tmp_path: Path, watch: Watch) -> None:
    write(tmp_path, elsewhere(LockOwner.this_process("sweep"), age=0))
    watch.then[7.0] = lambda: first_lock(tmp_path).write_text(run_lock.RELEASED)
    assert not is_alive(RunDirectory(tmp_path), first_lock(tmp_path), watch.sleep)
    assert watch.now == 7


@pytest.mark.parametrize("filled", [True, False])
def test_an_empty_lock_belongs_to_a_process_that_is_taking_it(
    tmp_path: Path, watch: Watch, filled: bool
) -> None:
    """Without hard links, a lock is created empty and then replaced."""
    first_lock(tmp_path).write_text("")
    if filled:
        owner = elsewhere(LockOwner.this_process("sweep"), age=0)
        watch.then[2.0] = lambda: write(tmp_path, owner)
    assert is_alive(RunDirectory(tmp_path), first_lock(tmp_path), watch.sleep) is filled
    assert watch.now == (2 if filled else EXPIRES)


def test_a_lock_that_this_user_may_not_read_is_not_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, elsewhere(LockOwner.this_process("sweep"), age=0))
    deny(monkeypatch, "lock-")
    with pytest.raises(Denied, match=r"this user may not read it.*chmod"):
        acquire(RunDirectory(tmp_path), "sweep demo").__enter__()
