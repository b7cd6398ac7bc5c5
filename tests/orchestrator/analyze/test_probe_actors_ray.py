"""Probes over Ray: as in one process, also when a worker is killed."""

import os
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.processes import descendants, kill
from benchmarks.small_shards import write_shards, write_weights
from orchestrator.analyze.probe_actors import due, find_backbones, run_probes
from orchestrator.analyze.settings import Workers
from tests.builders.listeners import Quiet
from tests.builders.small_looks import CONTRASTIVE, CPU, write_colour_task
from trainables.data.data_directory import DataDirectory
from trainables.probes.kinds import KINDS
from trainables.probes.probe import ProbeContext, ProbeRecord
from trainables.probes.prober import Prober
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Encoding, Trial, Untuned
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]
ALL = tuple(kind.name for kind in KINDS)


@pytest.fixture
def context(tmp_path: Path) -> ProbeContext:
    """Three backbones of a finished sweep, and a task."""
    rois = write_shards(tmp_path / "data")
    weights = tmp_path / "weights.safetensors"
    backbone = Backbone("narrow-alexnet", write_weights(weights))
    place = RunContext(DataDirectory(tmp_path / "data"), RunDirectory(tmp_path / "runs"), weights)
    encoding = Encoding(layers=("classifier.5",), protocols=("nested",), n_folds=3)
    for objective, roi in ((Untuned(), 0), (CONTRASTIVE, 0), (CONTRASTIVE, 1)):
        trial = Trial(objective, (rois[roi],), backbone, encoding)
        assert TrialRunner(place, CPU).run(trial, Quiet()).status == "finished"
    task = write_colour_task(tmp_path, size=64)
    return ProbeContext(
        RunDirectory(tmp_path / "runs"),
        DataDirectory(tmp_path / "data"),
        CPU,
        weights,
        task,
        "classifier.5",
        "features.10",
    )


def records(context: ProbeContext) -> dict[str, object]:
    """Read the numbers of every result, by kind and backbone."""
    paths = sorted((context.runs.path / "probes").glob("*/*.parquet"))
    return {f"{path.parent.name}/{path.name}": ProbeRecord.read(path).numbers for path in paths}


def kill_one_worker(killed: list[int]) -> None:
    """Kill the first process that is seen at a probe."""
    while not killed:
        at_it = [pid for pid, title in descendants(os.getpid()).items() if ".probe" in title]
        killed += at_it[:1]
        kill(set(at_it[:1]))
        time.sleep(0.05)


def test_a_killed_worker_costs_nothing(
    local_ray: str, context: ProbeContext, tmp_path: Path
) -> None:
    jobs = due(find_backbones(context.runs), context, ALL)
    assert len(jobs) == 3
    killed: list[int] = []
    killer = threading.Thread(target=kill_one_worker, args=(killed,), daemon=True)
    killer.start()
    console = Console(file=(tmp_path / "log").open("w"))
    assert run_probes(jobs, context, Workers(local_cpus=2), console) == []
    assert len(killed) == 1
    over_ray = records(context)
    assert len(over_ray) == 3 + 3 + 2 + 2  # classification, saliency, information, variance
    assert due(find_backbones(context.runs), context, ALL) == []
    (context.runs.path / "probes").rename(context.runs.path / "probes-over-ray")
    prober = Prober(context, 1)
    for job in jobs:
        assert prober.probe(job) == []
    assert records(context) == over_ray
