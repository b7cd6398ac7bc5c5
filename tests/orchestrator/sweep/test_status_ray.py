"""A sweep that is looked at, refused a rival, cancelled, and retried, as people do it."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.processes import descendants, send, wait_for
from orchestrator.cluster.single_worker import GroupWorker
from tests.builders.sweep_process import Lab, scores_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def ended(undisturbed: Path) -> Iterator[Path]:
    """A sweep that has ended, whose files come back after the test."""
    kept = {part: undisturbed.with_name(f"kept-{part}") for part in ("scores", "trials")}
    for part, copy in kept.items():
        shutil.copytree(undisturbed / part, copy)
    yield undisturbed
    for part, copy in kept.items():
        shutil.rmtree(undisturbed / part)
        copy.rename(undisturbed / part)


def act(home: Path, *arguments: str) -> tuple[int, str]:
    """Run a sweep command to its end, from elsewhere; return its code and what it said."""
    command = [sys.executable, "-m", "orchestrator.sweep", *arguments]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=300)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def test_status_a_rival_cancel_and_retry(sweep_lab: Lab, undisturbed: Path) -> None:
    home = sweep_lab.home
    out = home / "out"
    process = sweep_lab.start(out, "--keep", "every")
    wait_for(lambda: any(out.glob("checkpoints/*/last.json")), "a checkpoint")
    name = GroupWorker.__name__
    workers = {pid for pid, title in descendants(process.pid).items() if name in title}
    send(workers, signal.SIGSTOP)  # so that it is not done before it is cancelled

    wait_for(lambda: "finetuning" in act(home, "status", "--out", str(out))[1], "progress", 60)
    code, message = act(home, "status", "--out", str(out))
    assert code == 0
    assert f"running: sweep space.py, process {process.pid}" in message

    rival = ("space.py", "--weights", "weights.safetensors", "--data", "data", "--out", str(out))
    code, message = act(home, *rival)
    assert code == 2
    assert f"in use by sweep space.py, process {process.pid}" in message

    send(workers, signal.SIGCONT)
    code, message = act(home, "cancel", "--out", str(out))
    assert code == 0, message
    assert "stopped: sweep space.py" in message
    assert process.wait(60) == 130
    assert "Traceback" not in (home / "out.log").read_text()
    assert "nothing is running" in act(home, "status", "--out", str(out))[1]

    code, message = act(home, "retry", "--out", str(out))
    assert code == 0, message
    assert scores_of(out).equals(scores_of(undisturbed))
    assert " 0 failed, 0 waiting" in act(home, "status", "--out", str(out))[1]


def test_only_what_failed_is_tried_again(ended: Path) -> None:
    out, home = ended, ended.parent
    [trial] = [path for path in out.glob("trials/contrastive*.json")][:1]
    for path in (out / "scores" / trial.stem).iterdir():
        path.unlink()
    trial.write_text(trial.read_text().replace('"status": "finished"', '"status": "failed"'))
    other = next(path for path in out.glob("trials/untuned*.json"))
    for path in (out / "scores" / other.stem).iterdir():
        path.unlink()
    other.unlink()
    code, message = act(home, "retry", "--failed", "--out", str(out))
    assert code == 0, message
    assert "1 to run" in message
    assert any((out / "scores" / trial.stem).iterdir())
    assert not any((out / "scores" / other.stem).iterdir())
