"""Which ROIs have predictions of two methods, and why others have not."""

import json
from pathlib import Path

import numpy as np

from benchmarks.small_shards import write_shards
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.paired_predictions import read_subject_rois, shared_rois
from tests.builders.small_predictions import write_predicted
from trainables.results.prediction_files import ABOUT
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned
from trainables.storage.atomic import read_parquet, write_parquet


def reverse_vertices(path: Path) -> None:
    """Record that the predictions of a file are of its vertices in the opposite order."""
    table = read_parquet(path)
    about = json.loads(table.schema.metadata[ABOUT])
    about["vertices"].reverse()
    described = table.replace_schema_metadata({ABOUT: json.dumps(about).encode()})
    write_parquet(path, described, use_dictionary=False)


def test_each_roi_without_predictions_of_both_has_a_reason_and_later_ones_are_read(
    tmp_path: Path,
) -> None:
    data, runs = tmp_path / "data", RunDirectory(tmp_path / "runs")
    rois = write_shards(data, n_images=40, image_size=8)[:3]
    write_predicted(runs.path, data, Untuned(), rois, 2.0)
    tuned = write_predicted(runs.path, data, Contrastive(), rois, 0.7)
    other, absent = (
        runs.prediction_file(trial.id, roi.id) for trial, roi in zip(tuned[:2], rois, strict=False)
    )
    reverse_vertices(other)
    absent.unlink()
    missing: list[str] = []
    methods = ("contrastive", "untuned")
    scored = shared_rois(read_score_table(runs).vertices, methods)
    [found] = read_subject_rois(scored, runs, data / rois[0].shard, missing)
    assert missing == [
        f"{other}: no predictions of the same vertices under nested",
        f"{absent}: no predictions were kept",
    ]
    assert found.roi_id == rois[2].id
    assert found.predicted.a.shape == found.predicted.b.shape == (10, rois[2].n_vertices)
    assert not np.array_equal(found.predicted.a, found.predicted.b)
