"""How a sweep was made: what the report says of its data."""

from dataclasses import replace

import numpy as np

from benchmarks.small_shards import write_shards
from orchestrator.analyze.analysis import Inputs
from orchestrator.report.how_made import how_made
from tests.builders.kept_trials import add_trials
from tests.builders.small_scores import write_sweep
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.results.run_directory import RunDirectory


def test_single_trials_are_named_where_there_are_any(tmp_path) -> None:
    write_sweep(tmp_path / "runs")
    write_shards(tmp_path / "data", n_images=40, image_size=16)
    inputs = Inputs(RunDirectory(tmp_path / "runs"), DataDirectory(tmp_path / "data"))
    [line] = how_made(inputs).data
    images = "30 training and 10 test images a subject, split paper, stored 16 pixels wide"
    assert line.endswith(f"{images}.")
    add_trials(tmp_path / "data" / "nsd-subj01", np.full(40, 2))
    [line] = how_made(inputs).data
    assert line.endswith(f"{images}; trained and fitted on 60 single trials a subject.")


def test_all_sizes_of_the_images_are_named(tmp_path) -> None:
    write_sweep(tmp_path / "runs")
    write_shards(tmp_path / "data", n_images=40, image_size=16)
    shard = tmp_path / "data" / "nsd-subj01"
    manifest = replace(Manifest.read(shard), further_images={"336": "0", "40": "0"})
    (shard / "manifest.json").write_text(manifest.to_json())
    inputs = Inputs(RunDirectory(tmp_path / "runs"), DataDirectory(tmp_path / "data"))
    [line] = how_made(inputs).data
    assert line.endswith("split paper, stored 16 and 40 and 336 pixels wide.")
