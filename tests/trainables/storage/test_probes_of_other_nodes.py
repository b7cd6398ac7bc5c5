"""Probes in S3: what they read and write is there on every node, without being fetched by hand."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from rich.console import Console

from benchmarks.small_shards import write_shards
from orchestrator.analyze import probe_actors
from orchestrator.analyze import run as analyze
from orchestrator.analyze.catalogue import ANALYSES
from orchestrator.analyze.settings import Analysing, Workers
from tests.builders.s3_server import BUCKET, s3
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data.data_directory import DataDirectory, publish
from trainables.models import backbones
from trainables.models.finetuned import build_model
from trainables.probes import mutual_information
from trainables.probes.probe import (
    LoadedBackbone,
    ProbeContext,
    Probed,
    ProbeRecord,
    Result,
    probe_file,
    write_result,
)
from trainables.results.epoch_report import EpochReport
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Pooled, Roi, Trial
from trainables.storage.s3_mirror import place
from trainables.training.checkpoints import Checkpoints

Machine = Callable[[str], None]
INFORMATION = mutual_information.INFORMATION
HISTORY = (EpochReport(1, 2.0, 3.0, 100.0, 0.25, 4.0),)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Go to a machine by its name: each has a cache of its own of one bucket."""
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", partial(tiny_backbone, 32))

    def go(name: str) -> None:
        monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / name))

    with s3():
        go("first")
        yield go


def context() -> ProbeContext:
    runs = RunDirectory(place(f"s3://{BUCKET}/runs"))
    return ProbeContext(runs, DataDirectory(place(f"s3://{BUCKET}/data")), torch.device("cpu"))


def finetuned() -> Probed:
    """Ingest two subjects, and fine-tune and save a model of an ROI that both have."""
    data = context().data
    rois: list[Roi] = list(
        write_shards(data.path, ("subj01", "subj02"), n_images=40, image_size=32)
    )
    for shard in {roi.shard for roi in rois}:
        publish(data.shard(shard), data.shard(shard))
    alike = tuple(roi for roi in rois if roi.id.endswith("lh-V1v"))
    trial = Trial(Pooled(batch_size=8, epochs=1), alike, Backbone("tiny"))
    assert isinstance(trial.objective, Pooled)
    n_vertices = [roi.n_vertices for roi in alike]
    model = build_model(trial.objective, backbones.build("tiny"), 32, n_vertices, trial.seed)
    checkpoints = Checkpoints(context().runs.checkpoints(trial.training_id))
    checkpoints.save(HISTORY, model, None)
    return Probed(trial)


def measured(probed: Probed) -> list[dict[str, object]]:
    """Measure mutual information with nothing fetched before."""
    directory = context().runs.checkpoints(probed.model.training_id)
    loaded = LoadedBackbone(probed, torch.nn.Identity(), directory)
    rows: list[dict[str, object]] = INFORMATION.run(loaded, context()).rows.to_pylist()
    return rows


def test_mutual_information_reads_the_model_and_the_images_of_another_node(
    machine: Machine,
) -> None:
    probed = finetuned()
    expected = measured(probed)
    assert len(expected) == 2
    machine("second")
    assert not context().data.path.exists()
    assert not context().runs.path.exists()
    assert measured(probed) == expected


def test_results_of_probes_on_other_nodes_are_there_for_the_table(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command plans on one node, and a worker on another writes the result."""
    probed = finetuned()
    table = pa.Table.from_pylist([], mutual_information.SCHEMA)

    def probe_elsewhere(*_: object) -> list[str]:
        machine("worker")
        result = probe_file(INFORMATION, probed, context())
        inputs = INFORMATION.inputs(probed, context())
        write_result(result, INFORMATION, probed, inputs, Result(table, {"x": 1.0}))
        machine("first")
        return []

    monkeypatch.setattr(probe_actors, "run_probes", probe_elsewhere)
    monkeypatch.setattr(probe_actors, "due", lambda *_: [])
    monkeypatch.setattr(probe_actors, "find_backbones", lambda *_: [])
    [question] = [one for one in ANALYSES if INFORMATION.name in one.probes]
    settings = Analysing(
        (question,), context().runs, context().data, None, None, None, "1", "1", Workers(1, 0.0, 1)
    )
    assert analyze._probe(settings, Console()) == []
    [path] = context().runs.probe_files(INFORMATION.name)
    assert ProbeRecord.read(path).numbers == {"x": 1.0}
