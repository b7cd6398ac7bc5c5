"""The multi-process service of trials that share a GPU, with a stand-in for its program."""

import os
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import ray

from orchestrator.cluster.worker_resources import WorkerResources
from orchestrator.execution import gpu_service, session
from orchestrator.execution.gpu_service import CONTROL, LOGS, PIPES, multi_process_service
from orchestrator.execution.session import Session
from orchestrator.execution.settings import Locations, RunSettings
from orchestrator.sweep.search.round_runner import RoundRunner
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

PROGRAM = """#!/bin/sh
[ $# = 0 ] && read -r line
echo "$*$line $CUDA_MPS_PIPE_DIRECTORY $CUDA_MPS_LOG_DIRECTORY" >> {calls}
if [ -f {fails}$* ]; then echo "no GPU"; exit 1; fi
"""


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with the program and no service; its calls are in the file ``calls``."""
    monkeypatch.setattr(gpu_service, "SYSTEM_PIPES", tmp_path / "nvidia-mps")
    monkeypatch.setattr(gpu_service, "PLACE", str(tmp_path))
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in (PIPES, LOGS, "RAY_ADDRESS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / CONTROL
    program.write_text(PROGRAM.format(calls=tmp_path / "calls", fails=tmp_path / "fails"))
    program.chmod(0o755)
    return tmp_path


def calls(machine: Path) -> list[list[str]]:
    file = machine / "calls"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def settings(gpus=None, share_gpus=False, local=False) -> RunSettings:
    resources = WorkerResources(gpus=gpus, share_gpus=share_gpus)
    places = Locations(DataDirectory(Path("data")), RunDirectory(Path("runs")))
    return RunSettings(places, resources, local=local)


@pytest.mark.parametrize(
    ("asked", "visible"),
    [(settings(0.5), None), (settings(0.25), "0,1"), (settings(share_gpus=True), "0")],
)
def test_the_service_runs_while_trials_share_a_gpu(machine, monkeypatch, asked, visible) -> None:
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    said: list[str] = []
    with multi_process_service(asked, said.append):
        found = [os.environ[PIPES], os.environ[LOGS]]
        assert calls(machine) == [["-d", *found]]
        assert all(Path(one).is_dir() for one in found)
    assert calls(machine) == [["-d", *found], ["quit", *found]]
    assert said == []
    assert PIPES not in os.environ
    assert LOGS not in os.environ
    assert list(machine.glob("cortex-mps-*")) == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_the_service_ends_after_an_error(machine, error) -> None:
    with pytest.raises(error), multi_process_service(settings(0.5), print):
        raise error
    (_, *started), (_, *ended) = calls(machine)
    assert [call[0] for call in calls(machine)] == ["-d", "quit"]
    assert started == ended
    assert PIPES not in os.environ


@pytest.mark.parametrize(
    "asked", [settings(), settings(0), settings(1), settings(0.6), settings(0.5, local=True)]
)
def test_one_trial_per_gpu_needs_no_service(machine, asked) -> None:
    with multi_process_service(asked, pytest.fail):
        assert PIPES not in os.environ
    assert calls(machine) == []


@pytest.mark.parametrize("case", ["no program", PIPES, "RAY_ADDRESS", "system", "Ray"])
def test_the_service_of_others_and_clusters_are_left_alone(machine, monkeypatch, case) -> None:
    if case == "no program":
        (machine / CONTROL).unlink()
    elif case == "system":
        (machine / "nvidia-mps").mkdir()
        (machine / "nvidia-mps" / "control").touch()
    elif case == "Ray":
        monkeypatch.setattr(ray, "is_initialized", lambda: True)
    else:
        monkeypatch.setenv(case, "given")
    before = dict(os.environ)
    with multi_process_service(settings(0.5), pytest.fail):
        assert dict(os.environ) == before
    assert calls(machine) == []


def test_a_service_that_does_not_start_is_one_note(machine) -> None:
    (machine / "fails-d").touch()
    said: list[str] = []
    with multi_process_service(settings(0.5), said.append):
        assert PIPES not in os.environ
    assert said == [f"{CONTROL} -d: exit code 1, no GPU; trials share a GPU by time slices"]
    assert [call[0] for call in calls(machine)] == ["-d"]
    assert list(machine.glob("cortex-mps-*")) == []


@pytest.mark.parametrize("visible", ["2,3", "1", "GPU-8f3a"])
def test_gpus_of_other_numbers_are_shared_by_time_slices(machine, monkeypatch, visible) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    said: list[str] = []
    with multi_process_service(settings(0.5), said.append):
        assert PIPES not in os.environ
    assert [f"CUDA_VISIBLE_DEVICES={visible} is not 0,1" in line for line in said] == [True]
    assert calls(machine) == []


def test_a_service_that_does_not_end_is_one_note_with_the_command(machine) -> None:
    (machine / "fails").touch()
    said: list[str] = []
    with multi_process_service(settings(0.5), said.append):
        pipes = os.environ[PIPES]
    assert said == [f"MPS has not ended: echo quit | {PIPES}={pipes} {CONTROL}"]
    assert Path(pipes).is_dir()


def test_a_sweep_connects_to_ray_under_the_service(machine, monkeypatch) -> None:
    at_connection = []

    def connect(say: object) -> None:
        at_connection.extend(calls(machine))
        raise KeyboardInterrupt

    for name in ("start_tracker", "Narrator", "outcomes", "names_of"):
        monkeypatch.setattr(session, name, MagicMock())
    monkeypatch.setattr(session, "removing_unkept", lambda settings, plan: nullcontext(settings))
    monkeypatch.setattr(session, "executor_for", lambda *_: MagicMock(connect=connect))
    monkeypatch.setattr(Session, "_tracked", MagicMock())
    run = Session(settings(0.5), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    with pytest.raises(KeyboardInterrupt):
        run.run(MagicMock())
    assert [call[0] for call in at_connection] == ["-d"]
    assert [call[0] for call in calls(machine)] == ["-d", "quit"]


def test_a_search_runs_its_rounds_under_the_service(machine, monkeypatch) -> None:
    in_rounds = []
    monkeypatch.setattr(RoundRunner, "_waiting", lambda *_: ["a trial"])
    monkeypatch.setattr(RoundRunner, "_run_rounds", lambda _: in_rounds.extend(calls(machine)))
    progress = MagicMock(rounds=lambda: ["a round"], outcomes=list)
    RoundRunner(settings(0.5), progress, MagicMock(), MagicMock(), {}).run()
    assert [call[0] for call in in_rounds] == ["-d"]
    assert [call[0] for call in calls(machine)] == ["-d", "quit"]
