"""Faults, injected for real into a sweep that runs: each says what it does, and does it."""

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.processes import descendants, kill, send
from orchestrator.cluster.queue_actor import QueueActor
from orchestrator.cluster.single_worker import GroupWorker

WORKER: Final = GroupWorker.__name__


@dataclass(frozen=True)
class Target:
    """A sweep that runs, as a fault meets it."""

    pid: int
    """The driver's."""
    out: Path
    data: Path
    chance: random.Random

    def processes(self, title: str) -> set[int]:
        """Find the sweep's processes whose title has a word."""
        return {pid for pid, found in descendants(self.pid).items() if title in found}

    def one(self, title: str) -> set[int]:
        """Choose one of them; none where there is none."""
        found = sorted(self.processes(title))
        return {self.chance.choice(found)} if found else set()


@dataclass(frozen=True)
class Fault:
    """Something that happens to a sweep."""

    name: str
    how: str
    inject: Callable[[Target], bool]
    """Returns whether there was something to do it to."""
    ends_driver: bool = False
    """Whether the command has to be given again."""


def _killer(title: str, *, every: bool = False) -> Callable[[Target], bool]:
    def inject(target: Target) -> bool:
        found = target.processes(title) if every else target.one(title)
        kill(found)
        return bool(found)

    return inject


def _driver(number: signal.Signals) -> Callable[[Target], bool]:
    def inject(target: Target) -> bool:
        send({target.pid}, number)
        return True

    return inject


def _stop_worker(target: Target) -> bool:
    found = target.one(WORKER)
    send(found, signal.SIGSTOP)
    return bool(found)


def _everything(target: Target) -> bool:
    kill({target.pid, *descendants(target.pid)})
    return True


def _notice(target: Target) -> bool:
    found = target.processes("raylet/raylet")
    send(found, signal.SIGTERM)
    return bool(found)


def _damage(pattern: str) -> Callable[[Target], bool]:
    """Kill everything, then turn a byte in the middle of one of its files."""

    def inject(target: Target) -> bool:
        if not any(target.out.glob(pattern)):
            return False
        _everything(target)
        path = target.chance.choice(sorted(target.out.glob(pattern)))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x55
        path.write_bytes(content)
        return True

    return inject


def _forget_mlflow(target: Target) -> bool:
    store = target.out.with_suffix(".db")
    if not store.exists():
        return False
    _everything(target)
    store.unlink()
    return True


FAULTS: Final = (
    Fault("worker killed", "kill -9 of a worker", _killer(WORKER)),
    Fault("all workers killed", "kill -9 of all of them", _killer(WORKER, every=True)),
    Fault("worker stuck", "SIGSTOP of a worker; stall timeout of 20 s", _stop_worker),
    Fault("queue killed", "kill -9 of the queue's actor", _killer(QueueActor.__name__), True),
    Fault("driver killed", "kill -9 of the command", _driver(signal.SIGKILL), ends_driver=True),
    Fault("driver interrupted", "Ctrl-C", _driver(signal.SIGINT), ends_driver=True),
    Fault("driver terminated", "SIGTERM, as Slurm does", _driver(signal.SIGTERM), ends_driver=True),
    Fault("raylet killed", "kill -9 of the node's raylet", _killer("raylet/raylet"), True),
    Fault("node pre-empted", "SIGTERM of the raylet, as spot notice does", _notice, True),
    Fault("head killed", "kill -9 of the GCS", _killer("gcs_server"), ends_driver=True),
    Fault("everything killed", "kill -9 of all processes", _everything, ends_driver=True),
    Fault("score damaged", "a byte flipped", _damage("scores/*/*.parquet"), ends_driver=True),
    Fault(
        "checkpoint damaged",
        "a byte flipped",
        _damage("checkpoints/*/*.safetensors"),
        ends_driver=True,
    ),
    Fault("MLflow emptied", "its SQLite store removed", _forget_mlflow, ends_driver=True),
)
