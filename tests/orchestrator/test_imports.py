"""What each command imports: a command that reads files, or refuses, does without what computes."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from safetensors.torch import save_file

from benchmarks.small_shards import write_shards
from orchestrator.__main__ import main
from orchestrator.execution.run_record import Command
from orchestrator.tracking.identity import identity_of
from tests.builders.small_scores import write_sweep
from trainables.models import backbones
from trainables.models.backbone_facts import size_of
from trainables.results.run_directory import RunDirectory

ROOT = Path(__file__).parents[2]
COMPUTING = {"torch", "torchvision", "ray", "mlflow", "scipy", "sklearn", "optuna", "nilearn"}
LAYERS = ("features.5", "classifier.5")
SPACE = f"""\
from trainables.spec import *

def trials(rois):
    encoding = Encoding(layers={LAYERS!r}, n_folds=3)
    for roi in rois:
        yield Trial(Untuned(), (roi,), Backbone("narrow-alexnet", FROM_FILE), encoding)
"""
PLAN = "sweep space.py --data data --out new --dry-run"
COMMANDS = (
    # command, exit code, and what of COMPUTING, pandas and matplotlib it may import
    ("sweep --stall-time 3", 2, set()),
    ("sweep demoo", 2, set()),
    ("sweep space.py --data absent", 2, set()),
    ("sweep space.py --data data --deterministic --precision bfloat16", 2, set()),
    ("sweep status --out runs", 0, set()),
    ("sweep retry --out runs", 2, set()),
    ("sweep cancel --out runs", 2, set()),
    (PLAN, 2, set()),  # without weights
    (f"{PLAN} --weights weights.safetensors --rois V9", 2, set()),
    (f"{PLAN} --weights weights.safetensors", 0, set()),
    (f"{PLAN} --weights weights.safetensors --local", 0, set()),
    ("evaluate rois --data data --out new --dry-run", 2, set()),
    ("scores --out runs", 0, {"pandas"}),
    ("report --out absent", 2, {"pandas"}),
    ("report --out runs", 0, {"pandas", "scipy"}),  # tests over subjects; logged to MLflow
)
"""In this order they run in one process, so none may import what those before it may not."""
PROGRAM = f"""\
import json, sys
from orchestrator.__main__ import main

found = []
for command in json.loads(sys.argv[1]):
    code = main(command.split())
    found.append([code, sorted({COMPUTING | {"pandas", "matplotlib"}} & set(sys.modules))])
print(json.dumps(found))
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with data, a space, weights and scores, on a machine that knows the backbone."""
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    write_shards(tmp_path / "data")
    write_sweep(tmp_path / "runs")
    record = Command("orchestrator.sweep", (), str(tmp_path), 0.0, "trials", (), {}, {}, {})
    record.write(RunDirectory(tmp_path / "runs"))
    _write_store(tmp_path / "mlflow.db", RunDirectory(tmp_path / "runs"), tmp_path / "artifacts")
    (tmp_path / "space.py").write_text(SPACE)
    save_file(backbones.build("narrow-alexnet").state_dict(), "weights.safetensors")
    size_of.cache_clear()
    assert main(f"{PLAN} --weights weights.safetensors".split()) == 0
    return tmp_path


def _write_store(file: Path, runs: RunDirectory, artifacts: Path) -> None:
    """Write the tables of MLflow that a report reads, with one run of a sweep."""
    with closing(sqlite3.connect(file)) as database:
        database.executescript(
            f"""
            CREATE TABLE experiments (experiment_id, lifecycle_stage);
            CREATE TABLE runs (run_uuid, experiment_id, lifecycle_stage, artifact_uri);
            CREATE TABLE tags (run_uuid, key, value);
            INSERT INTO experiments VALUES (1, 'active');
            INSERT INTO runs VALUES ('r', 1, 'active', '{artifacts}');
            INSERT INTO tags VALUES ('r', 'run_directory', '{identity_of(runs)}');
            """
        )


def test_what_reads_or_refuses_does_without_what_computes(home: Path) -> None:
    commands = json.dumps([command for command, _, _ in COMMANDS])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, commands],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = [[code, sorted(allowed)] for _, code, allowed in COMMANDS]
    named = [command for command, _, _ in COMMANDS]
    assert dict(zip(named, found, strict=True)) == dict(zip(named, expected, strict=True))
    assert (home / "artifacts" / "report" / "report.html").is_file()


def test_the_processes_of_a_cluster_import_what_they_use() -> None:
    """The driver, the trial queue and a worker's process before its first trial."""
    heavy = COMPUTING - {"ray"} | {"pandas", "matplotlib", "ray.data", "ray.train", "ray.tune"}
    code = f"""
import sys
import orchestrator.cluster.queue_actor
import orchestrator.cluster.single_worker
import orchestrator.execution.ray_executor
assert not {heavy!r} & set(sys.modules), {heavy!r} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
