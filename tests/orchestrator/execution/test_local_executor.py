"""Trials in this process: the same plan, files and outcomes as on a cluster, and no Ray."""

import errno
import subprocess
import sys
import threading
from bdb import BdbQuit
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_file

from benchmarks.processes import wait_for
from benchmarks.small_shards import write_shards, write_weights
from orchestrator.cli.errors import InputError
from orchestrator.cluster.worker_resources import WorkerResources
from orchestrator.execution import local_executor, progress, run_record
from orchestrator.execution.local_executor import LocalExecutor
from orchestrator.execution.narration import names_of
from orchestrator.execution.settings import Locations, RunSettings
from orchestrator.sweep import __main__ as sweep
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data.data_directory import DataDirectory
from trainables.exceptions import DiskFull
from trainables.models import backbones
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import WorkItem
from trainables.worker.runner import TrialRunner

SPACE = """\
from trainables.spec import FROM_FILE, Backbone, Contrastive, Encoding, Trial

ENCODING = Encoding(layers=("1",), n_folds=3)

def trials(rois):
    for roi in rois[:3]:
        yield Trial(Contrastive(batch_size=16, epochs=1), (roi,), Backbone("tiny", FROM_FILE),
                    ENCODING)
"""

WITHOUT_RAY = """\
import sys
from orchestrator.evaluate import __main__ as evaluate
from orchestrator.sweep import __main__ as sweep
from trainables.data import loading
from trainables.worker import runner
assert "torch._dynamo" not in sys.modules  # imported by the first optimiser
loading.ALONE_BYTES = 0  # every shard is a large one
FLAGS = ["--local", "--data", "data", "--out", "runs"]
assert sweep.main(["space.py", "--weights", "weights.safetensors", *FLAGS]) == 0
assert evaluate.main(["transfer", "--methods", "regression", *FLAGS]) == 0
print([name for name in sys.modules if name.partition(".")[0] == "ray"])
"""

TWO_SUBJECTS = """\
from trainables.spec import *

ENCODING = Encoding(layers=("features.5",), n_folds=3)

def trials(rois):
    for roi in rois:
        if (roi.hemisphere, roi.name) == ("lh", "V1v"):
            settings = Regression(batch_size=16, epochs=1)
            yield Trial(settings, (roi,), Backbone("narrow-alexnet", FROM_FILE), ENCODING)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One MLflow store for all: to make one takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def home(tmp_path, monkeypatch, store) -> Iterator[Path]:
    """A working directory with data, a space of three trials, and the weights they start from."""
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", partial(tiny_backbone, 64))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    write_shards(tmp_path / "data", n_images=60)
    (tmp_path / "space.py").write_text(SPACE)
    save_file(tiny_backbone(64).state_dict(), tmp_path / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    n_threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(n_threads)


def run_locally(*more: str) -> int:
    places = ["--data", "data", "--out", "runs", "--weights", "weights.safetensors"]
    return sweep.main(["space.py", "--local", *places, *more])


def outcomes(runs: Path) -> list[Outcome]:
    found = [
        Outcome.read(RunDirectory(runs), path.stem) for path in sorted(runs.glob("trials/*.json"))
    ]
    return [outcome for outcome in found if outcome is not None]


class Faulty(TrialRunner):
    """Runs trials, and raises in place of those whose turn it is."""

    calls: ClassVar[list[str]] = []
    errors: ClassVar[dict[int, BaseException]] = {}
    """By the number of the call."""

    def run(self, trial: WorkItem, listener: Any) -> Outcome:
        assert threading.current_thread() is threading.main_thread()  # as a debugger needs it
        self.calls.append(trial.id)
        if error := self.errors.get(len(self.calls)):
            raise error
        return super().run(trial, listener)


@pytest.fixture
def faulty(monkeypatch) -> type[Faulty]:
    monkeypatch.setattr(Faulty, "calls", [])
    monkeypatch.setattr(Faulty, "errors", {})
    monkeypatch.setattr(local_executor, "TrialRunner", Faulty)
    return Faulty


def test_a_failure_is_an_outcome_with_its_error_and_the_other_trials_are_run(
    home, faulty, capsys
) -> None:
    faulty.errors = {2: RuntimeError("a defect"), 3: RuntimeError("a defect again")}
    assert run_locally() == 1
    assert faulty.calls[1] == faulty.calls[2]  # tried once more
    ended = {one.trial.id: one for one in outcomes(home / "runs")}
    assert len(ended) == 3
    failed = ended.pop(faulty.calls[1])
    assert failed.status == "failed"
    assert "Traceback" in str(failed.error)
    assert "RuntimeError: a defect again" in str(failed.error)
    assert {one.status for one in ended.values()} == {"finished"}
    shown = capsys.readouterr().out
    assert "in this process, on cpu" in shown
    assert "1 trials failed; run the same command to retry them:" in shown
    assert run_locally("--retries", "0") == 0
    assert faulty.calls[4:] == [failed.trial.id]


def test_a_sweep_ends_with_its_device(home, faulty, capsys) -> None:
    faulty.errors = {1: RuntimeError("CUDA error: an illegal memory access was encountered")}
    assert run_locally() == 2
    assert len(faulty.calls) == 1
    assert "illegal memory access was encountered), and this process" in capsys.readouterr().err
    [failed] = outcomes(home / "runs")
    assert failed.status == "failed"
    assert run_locally() == 0
    assert {one.status for one in outcomes(home / "runs")} == {"finished"}


def test_a_sweep_ends_at_the_first_trial_that_finds_the_disk_full(home, faulty, capsys) -> None:
    full = DiskFull(errno.ENOSPC, "No space left on device in runs: 3.0 MB are missing")
    faulty.errors = {1: full}
    assert run_locally() == 2
    assert len(faulty.calls) == 1  # neither tried again nor followed by another
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "every other trial would fail too: No space left on device in runs: 3.0 MB" in error
    [failed] = outcomes(home / "runs")
    assert (failed.status, failed.error_kind) == ("failed", "disk-full")
    assert run_locally() == 0
    assert {one.status for one in outcomes(home / "runs")} == {"finished"}


@pytest.mark.parametrize("number", [1, 3])
def test_a_run_directory_that_goes_away_is_one_line(home, monkeypatch, capsys, number) -> None:
    class Moving(TrialRunner):
        """Runs trials, and moves the run directory after one of them."""

        def run(self, trial: WorkItem, listener: Any) -> Outcome:
            outcome = super().run(trial, listener)
            if len(list(home.glob("runs/trials/*.json"))) == number:
                (home / "runs").rename(home / "moved")
            return outcome

    monkeypatch.setattr(local_executor, "TrialRunner", Moving)
    assert run_locally() == 2
    error = capsys.readouterr().err
    assert "error: runs: was moved or removed during this command" in error
    assert "Traceback" not in error


def test_trials_whose_run_directory_is_gone_have_failed(home, monkeypatch, capsys) -> None:
    class Removing(TrialRunner):
        """Runs trials, and removes the run directory after the last."""

        def run(self, trial: WorkItem, listener: Any) -> Outcome:
            outcome = super().run(trial, listener)
            if len(list(home.glob("runs/trials/*.json"))) == 3:
                (home / "runs/trials").rename(home / "moved")
            return outcome

    monkeypatch.setattr(local_executor, "TrialRunner", Removing)
    assert run_locally() == 1
    shown = capsys.readouterr().out
    assert "3 trials failed" in shown
    assert shown.count("has no outcome in runs; was it moved or removed?") == 3


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), BdbQuit()])
def test_a_sweep_that_is_interrupted_goes_on_where_it_was(home, faulty, capsys, stop) -> None:
    faulty.errors = {2: stop}
    assert run_locally() == 130
    [done] = outcomes(home / "runs")
    assert done.trial.id == faulty.calls[0]
    assert "interrupted" in capsys.readouterr().err
    assert run_locally("--keep", "none") == 0
    assert "3 trials: 1 done, 2 to run" in capsys.readouterr().out
    assert faulty.calls[0] not in faulty.calls[1:]
    assert {one.status for one in outcomes(home / "runs")} == {"finished"}
    [kept] = home.glob("runs/checkpoints/*")  # of the trial that had ended before
    assert kept.name == done.trial.training_id


def test_every_trial_has_its_run_in_mlflow(home, store) -> None:
    assert run_locally("--experiment", "mirrored") == 0
    client = MlflowClient(store)
    runs = client.search_runs([client.get_experiment_by_name("mirrored").experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    trials = [one.trial for one in outcomes(home / "runs")]
    parents = [run for run in runs if run.info.run_name == "sweep space"]
    assert {run.info.run_name for run in runs} == {
        "sweep space",
        *names_of(trials, "utf-8").values(),
    }
    assert {run.data.tags.get("trial_id") for run in runs} == {None, *(one.id for one in trials)}
    assert parents[0].data.metrics["n_finished"] == len(trials)
    assert "nested_r_mean contrastive early" in parents[0].data.metrics


def test_what_is_running_is_written_down_for_status(home, monkeypatch) -> None:
    monkeypatch.setattr(progress, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(run_record, "PUBLISH_SECONDS", 0.0)
    seen = []

    class Patient(TrialRunner):
        """Runs a trial once it is seen from elsewhere."""

        def run(self, trial: WorkItem, listener: Any) -> Outcome:
            listener.stage("reading")
            wait_for(lambda: shown(trial.id), "the trial in running.json", timeout=20)
            return super().run(trial, listener)

    def shown(trial_id: str) -> bool:
        published = run_record.read_running(RunDirectory(home / "runs"))
        running = published.running if published else ()
        seen.extend(running)
        return any((one.trial_id, one.stage) == (trial_id, "reading") for one in running)

    monkeypatch.setattr(local_executor, "TrialRunner", Patient)
    assert run_locally() == 0
    assert {one.trial_id for one in seen} == {one.trial.id for one in outcomes(home / "runs")}


def test_no_module_of_ray_is_imported_and_large_shards_are_read_all_the_same(tmp_path) -> None:
    write_shards(tmp_path / "data", ("subj01", "subj02"), n_images=60)
    write_weights(tmp_path / "weights.safetensors")
    (tmp_path / "space.py").write_text(TWO_SUBJECTS)
    command = [sys.executable, "-c", WITHOUT_RAY]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert len(list(tmp_path.glob("runs/scores/transfer-*/*.parquet"))) == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--workers-per-trial", "2"), "omit --workers-per-trial 2, or --local"),
        (("--max-concurrent", "2"), "omit --max-concurrent 2, or --local"),
        (("--share-gpus", "--stall-timeout", "5"), "omit --share-gpus and --stall-timeout"),
    ],
)
def test_what_only_a_cluster_can_do_is_refused(home, capsys, flags, message) -> None:
    assert run_locally(*flags) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
    assert not (home / "runs").exists()


def test_a_gpu_that_is_not_there_is_refused(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    locations = Locations(DataDirectory(tmp_path / "data"), tmp_path / "runs")
    with pytest.raises(InputError, match="this process has no GPU; omit the option"):
        LocalExecutor(RunSettings(locations, WorkerResources(gpus=1), local=True))


def test_a_dry_run_counts_one_trial_at_a_time(home, capsys) -> None:
    assert run_locally("--dry-run") == 0
    assert "with 1 at once" in capsys.readouterr().out
