"""Inspect, repeat or cancel a sweep, from any machine that can read its directory.

python -m orchestrator.sweep status --out RUNS
python -m orchestrator.sweep retry --failed --out RUNS
python -m orchestrator.sweep cancel --out RUNS
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.strangers import print_strangers
from orchestrator.cli.text import duration, new_table
from orchestrator.execution.lock_owner import EXPIRES, LockOwner, Observation, is_alive
from orchestrator.execution.run_lock import owner_of
from orchestrator.execution.run_record import (
    Command,
    Running,
    RunningTrial,
    State,
    read_running,
    state_of,
)
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import write_text

CANCEL_SECONDS: Final = 90.0


def show_status(runs: RunDirectory, console: Console) -> None:
    """Print the state of the last command on a directory; raise InputError if there was none."""
    command, now = Command.read(runs), time.time()
    state = state_of(command, runs)
    owner = owner_of(runs)
    lives = _lives(runs, owner, console)
    published = read_running(runs) if lives else None
    running = published.running if published else ()
    for line in (
        _of_owner(owner, lives=lives),
        f"{len(state.done)} of {len(command.trials)} {command.noun} done, {len(running)} running, "
        f"{len(state.failed)} failed, {len(state.left) - len(running)} waiting",
        *(_speed(command, state, published, now) if lives else ()),
    ):
        _say(console, line)
    if published and running:
        when = f"{duration(now - published.written)} ago"
        console.print(_running_table(running, command, when))
    for trial_id, error in state.failed.items():
        _say(console, f"failed: {trial_id}: {error}")
    print_strangers(runs, console)
    if not lives and (state.failed or state.left):
        _say(console, f"resume with: python -m orchestrator.sweep retry --out {runs}")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _lives(runs: RunDirectory, owner: LockOwner | None, console: Console) -> bool:
    """Return whether the owner lives; say so if that takes an observation of its run lock."""
    numbers = runs.lock_numbers()
    if owner is None or not numbers:
        return False
    if owner.is_gone() is None:
        _say(console, f"waiting up to {EXPIRES:.0f} s for a sign of life from {owner.host}")
    return is_alive(runs, runs.lock_file(numbers[-1]))


def _of_owner(owner: LockOwner | None, *, lives: bool) -> str:
    if owner is None:
        return "nothing is running"
    if lives:
        return f"running: {owner.describe()}"
    return f"died: {owner.describe()}; last seen {owner.last_seen()}"


def _speed(command: Command, state: State, published: Running | None, now: float) -> list[str]:
    elapsed = now - command.started
    if not state.ended:
        return [f"for {duration(elapsed)}; no trial has ended yet"]
    left = ""
    if published and published.seconds_left is not None and state.left:
        seconds = max(published.seconds_left - (now - published.written), 0.0)
        left = f", about {duration(seconds)} left"
    rate = 3600 * state.ended / elapsed
    return [f"{state.ended} in {duration(elapsed)} ({rate:.3g} an hour){left}"]


def _running_table(running: Sequence[RunningTrial], command: Command, when: str) -> object:
    table = new_table(f"running, {when}", "")
    for heading in (command.noun, "stage", "epoch", "images/s"):
        table.add_column(heading, overflow="fold")
    for one in running:
        rate, epochs = one.images_per_second, command.epochs.get(one.trial_id)
        table.add_row(
            one.name or one.trial_id,
            one.stage,
            f"{one.epoch}/{epochs}" if epochs else "",
            "" if rate is None else f"{rate:,.0f}",
        )
    return table


def cancel(runs: RunDirectory, console: Console) -> None:
    """Stop the owner of a run lock, as Ctrl-C does, and wait until it has released the lock.

    Raises InputError if nothing runs, or if the owner does not answer.
    """
    owner = owner_of(runs)
    if owner is None or not _lives(runs, owner, console):
        raise InputError(f"{runs}: nothing is running here")
    path = runs.lock_file(runs.lock_numbers()[-1])
    write_text(runs.cancel_file, owner.key)
    observation, deadline = Observation(runs, path), time.monotonic() + CANCEL_SECONDS
    while (there := owner_of(runs)) is not None and there.key == owner.key:
        observation.changes()
        if _is_dead(there, observation):
            _say(console, f"ended: {owner.describe()}")
            return
        if time.monotonic() > deadline:
            raise InputError(
                f"{runs}: {owner.describe()} has not stopped in {CANCEL_SECONDS:.0f} s; end that "
                "process"
            )
        time.sleep(0.2)
    _say(console, f"stopped: {owner.describe()}")
    _say(console, f"resume with: python -m orchestrator.sweep retry --out {runs}")


def _is_dead(owner: LockOwner, observation: Observation) -> bool:
    gone = owner.is_gone()
    return observation.is_over() if gone is None else gone


EVALUATE: Final = "orchestrator.evaluate"
"""The command that reads code of the run directory's trials."""
TRUST: Final = "--trust-code"


@dataclass(frozen=True)
class Retry:
    """A command to repeat, and its trials to run."""

    command: Command
    only: frozenset[str] | None
    """Ids of the waiting trials to run; None: all."""
    trust_code: bool = False

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the command, with the consent that it now has."""
        recorded = self.command.arguments
        adds = self.trust_code and self.command.module == EVALUATE and TRUST not in recorded
        return (*recorded, TRUST) if adds else recorded


def find_retry(runs: RunDirectory, *, only_failed: bool, trust_code: bool = False) -> Retry:
    """Find the last command on a directory, to repeat it in the directory where it was started.

    only_failed: run only the trials that failed. trust_code: also one that may run code of others.
    Raises InputError if there is nothing to run, or for such a command without that.
    """
    command = Command.read(runs)
    state = state_of(command, runs)
    chosen = tuple(state.failed) if only_failed else (*state.failed, *state.left)
    if not chosen:
        what = "has failed" if only_failed else "is left to do"
        raise InputError(f"{runs}: no {command.noun.removesuffix('s')} {what}")
    if not Path(command.directory).is_dir():
        raise InputError(
            f"{command.directory}: no such directory, where the command was started; run it again: "
            f"python -m {command.module} {' '.join(command.arguments)}"
        )
    if not trust_code:
        command.require_own(runs)
    return Retry(command, frozenset(chosen) if only_failed else None, trust_code)
