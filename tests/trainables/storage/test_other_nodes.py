"""What another node wrote, or read before, is read here from S3 without being fetched by hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.small_shards import write_shards
from tests.builders.s3_server import BUCKET, s3
from trainables.data.data_directory import MANIFEST, DataDirectory, publish
from trainables.data.stimuli import KnownStimuli
from trainables.data.tasks import TaskManifest
from trainables.probes.classification import CLASSIFICATION, head_file, write_head
from trainables.probes.logistic import Head
from trainables.probes.probe import LoadedBackbone, ProbeContext, Probed
from trainables.probes.prober import Prober
from trainables.probes.saliency import SALIENCY
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Encoding, Roi, Trial
from trainables.storage.atomic import write_text
from trainables.storage.s3_mirror import place

Machine = Callable[[str], None]
CPU = torch.device("cpu")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Go to a machine by its name: each has a cache of its own of one bucket."""

    def go(name: str) -> None:
        monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / name))

    with s3():
        go("first")
        yield go


def data() -> DataDirectory:
    return DataDirectory(place(f"s3://{BUCKET}/data"))


def ingested() -> list[Roi]:
    rois = write_shards(data().path, ("subj01", "subj02"))
    for shard in {data().shard(roi.shard) for roi in rois}:
        publish(shard, shard)
    return list(rois)


def test_overlap_is_known_where_the_source_subject_was_never_read(machine: Machine) -> None:
    rois = ingested()
    source, target = rois[0], next(roi for roi in rois if roi.subject != rois[0].subject)
    model = Trial(Contrastive(), (source,), encoding=Encoding())
    expected = KnownStimuli(data()).overlap(model, target)
    machine("second")
    found = KnownStimuli(data()).overlap(model, target)
    assert found.rows.tolist() == expected.rows.tolist()
    assert found.n_test == expected.n_test


def test_a_subject_that_is_nowhere_is_still_refused(machine: Machine) -> None:
    roi = ingested()[0]
    with pytest.raises(ValueError, match="ingest that data again"):
        KnownStimuli(DataDirectory(place(f"s3://{BUCKET}/other"))).of(roi)


def context() -> ProbeContext:
    runs = RunDirectory(place(f"s3://{BUCKET}/runs"))
    return ProbeContext(runs, data(), CPU, task=data().task("faces"))


def write_task() -> None:
    manifest = TaskManifest(
        "faces", 16, 4, 2, 2, ("a", "b"), "a rule", "0" * 8, "1" * 8, "2" * 8, {}
    )
    write_text(data().task("faces") / MANIFEST, manifest.to_json())


def test_a_prober_reads_the_task_of_another_node(machine: Machine) -> None:
    write_task()
    probed = Probed(Trial(Contrastive(), (ingested()[0],), encoding=Encoding()))
    expected = CLASSIFICATION.inputs(probed, context())
    machine("second")
    Prober(context(), 1)
    assert CLASSIFICATION.inputs(probed, context()) == expected


def test_a_classification_head_of_another_node_is_read(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_task()
    probed = Probed(Trial(Contrastive(), (ingested()[0],), encoding=Encoding()))
    head = Head(torch.ones(2, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.float64), True)
    write_head(head_file(probed, context()), head)
    machine("second")
    Prober(context(), 1)
    read: list[tuple[Any, ...]] = []

    def classifier(network: Any, layer: str, *weights: torch.Tensor) -> torch.nn.Module:
        read.append(weights)
        return torch.nn.Identity()

    monkeypatch.setattr("trainables.probes.saliency.Classifier", classifier)
    monkeypatch.setattr("trainables.probes.saliency.look", lambda classifier, context, **more: None)
    SALIENCY.run(LoadedBackbone(probed, torch.nn.Identity(), None), context())
    assert read[0][0].tolist() == [[1.0, 1.0, 1.0]] * 2


def test_a_subject_is_fetched_without_its_images(machine: Machine) -> None:
    roi = ingested()[0]
    machine("second")
    names = {path.name for path in data().fetched_shard(roi.shard).iterdir()}
    assert names == {MANIFEST, "vertices.parquet"}
