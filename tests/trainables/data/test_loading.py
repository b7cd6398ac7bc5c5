"""Reading shards, with Ray Data and without: what is held, and what is streamed."""

import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import ray
import torch

from benchmarks.small_shards import write_shards, write_weights
from tests.builders.listeners import Quiet
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.loading import read_images, read_subject
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import list_rois
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import Backbone, Contrastive, Encoding, Trial
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

pytestmark = pytest.mark.ray

CPU = torch.device("cpu")
N_IMAGES = 150
"""Three row groups, the last of them short."""


@pytest.fixture(params=["by the worker", "by Ray Data"])
def read_either_way(request, local_ray, monkeypatch) -> None:
    """Read alike, whatever the size."""
    if request.param == "by Ray Data":
        monkeypatch.setattr(loading, "ALONE_BYTES", 0)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("reading") / "data"
    write_shards(data, n_images=N_IMAGES)
    return data / "nsd-subj01"


def test_a_small_subject_needs_no_ray(shard, monkeypatch) -> None:
    monkeypatch.setattr(loading, "_dataset", None)
    assert len(read_images(shard, CPU)) == len(read_subject(shard).responses["lh"]) == N_IMAGES


@pytest.mark.usefixtures("read_either_way")
def test_a_subject_is_read_as_it_was_written(shard) -> None:
    subject, images = read_subject(shard), read_images(shard, CPU)
    n_read = 0
    for table in read_rows(shard, ["index", "image", "lh"]):
        rows = table["index"].to_numpy()
        expected = fixed_width(table["image"], np.uint8)
        np.testing.assert_array_equal(images.flatten(1).numpy()[rows], expected)
        np.testing.assert_array_equal(
            subject.responses["lh"][rows], fixed_width(table["lh"], np.float32)
        )
        n_read += len(rows)
    assert n_read == N_IMAGES


def test_data_are_read_while_trials_hold_every_cpu(shard, local_ray) -> None:
    @ray.remote(num_cpus=1)
    class Trial:
        def read(self) -> torch.Tensor:
            with patch.object(loading, "ALONE_BYTES", 0):
                return read_images(shard, CPU)

    trials = [Trial.remote() for _ in range(int(ray.cluster_resources()["CPU"]))]
    found = ray.get([trial.read.remote() for trial in trials], timeout=120)
    assert ray.available_resources().get("CPU", 0) == 0
    for images in found:
        assert torch.equal(images, read_images(shard, CPU))
    for trial in trials:
        ray.kill(trial)


@pytest.mark.usefixtures("read_either_way")
def test_a_damaged_shard_is_refused_by_name(shard, tmp_path) -> None:
    copy = tmp_path / shard.name
    shutil.copytree(shard, copy)
    [rows] = copy.glob("rows-*.parquet")
    content = bytearray(rows.read_bytes())
    content[len(content) // 2] ^= 1
    rows.write_bytes(content)
    with pytest.raises(Exception, match=rf"{rows}: damaged .*remove its directory and ingest"):
        read_images(copy, CPU)


def test_an_object_store_that_is_full_spills_to_the_disk(shard, local_ray, monkeypatch) -> None:
    capacity = int(ray.cluster_resources()["object_store_memory"])
    share = capacity // 4
    held = [ray.put(np.full(share, number, np.uint8)) for number in range(5)]
    expected = read_images(shard, CPU)
    monkeypatch.setattr(loading, "ALONE_BYTES", 0)
    assert torch.equal(read_images(shard, CPU), expected)
    for number, reference in enumerate(held):
        whole = ray.get(reference)
        assert len(whole) == share
        assert int(whole[0]) == int(whole[-1]) == number


@pytest.mark.usefixtures("read_either_way")
def test_a_trial_whose_images_are_streamed_scores_as_a_resident_one(shard, tmp_path) -> None:
    home, data = tmp_path, shard.parent
    weights = home / "weights.safetensors"
    backbone = Backbone("narrow-alexnet", write_weights(weights))
    encoding = Encoding(layers=("features.5",), alphas=(1.0, 100.0))
    roi = list_rois(DataDirectory(data))[0]
    trial = Trial(Contrastive(batch_size=32, epochs=2), (roi,), backbone, encoding)
    for name, budget in (("resident", None), ("streamed", 0)):
        place = RunContext(
            DataDirectory(data), RunDirectory(home / name), weights, image_budget=budget
        )
        TrialRunner(place, CPU).run(trial, Quiet())
    tables = [read_scores(RunDirectory(home / name), trial.id) for name in ("resident", "streamed")]
    assert tables[0].num_rows == roi.n_vertices
    assert tables[0].equals(tables[1])
