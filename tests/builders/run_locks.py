"""Files of run locks, of this machine and of others."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

from orchestrator.execution.lock_owner import LockOwner


def elsewhere(owner: LockOwner, *, age: float) -> LockOwner:
    """The same, as another host's that was renewed some seconds ago."""
    return replace(owner, host="node-7", machine="another", renewed=time.time() - age)


def first_lock(runs: Path) -> Path:
    path = runs / "operation" / "lock-000001.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write(runs: Path, owner: LockOwner) -> None:
    first_lock(runs).write_text(json.dumps(asdict(owner)), encoding="utf-8")
