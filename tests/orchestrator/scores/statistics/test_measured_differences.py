"""Differences between methods, from kept predictions and shards to each ROI's seeds and images."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics import measured_differences
from orchestrator.scores.statistics.held_out_responses import HeldOutResponses, ImageNumbers
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from orchestrator.scores.statistics.measured_differences import (
    MeasuredDifferences,
)
from tests.builders.predicted_sweep import SUBJECTS, PredictedSweep
from tests.builders.small_predictions import measured
from trainables.data.data_directory import MANIFEST
from trainables.data.rows import read_rows
from trainables.results.prediction_files import RoiPredictions, read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import read_parquet, write_parquet

TUNED, REGRESSION = ("contrastive", "untuned"), ("regression", "untuned")
BETWEEN = ("contrastive", "regression")


@pytest.fixture(scope="module")
def found(predicted_sweep: PredictedSweep) -> MeasuredDifferences:
    return predicted_sweep.measure(
        TUNED, REGRESSION, BETWEEN, (predicted_sweep.pooled.method, "untuned")
    )


def scored(predicted_sweep: PredictedSweep) -> Mapping[tuple[str, str], float]:
    vertices = read_score_table(RunDirectory(predicted_sweep.runs)).vertices
    return vertices.groupby(["method", "roi_id"], observed=True)["r"].mean()


def test_the_differences_are_those_of_the_scores(
    predicted_sweep: PredictedSweep, found: MeasuredDifferences
) -> None:
    means = scored(predicted_sweep)
    for a, b in (TUNED, REGRESSION, BETWEEN):
        assert set(found.differences[a, b]) == {roi.id for roi in predicted_sweep.rois}
        for roi, one in found.differences[a, b].items():
            assert one.difference == pytest.approx(means[a, roi] - means[b, roi], abs=1e-4)
    assert not any(found.missing.values())


def test_effects_are_those_of_an_roi_s_own_predictions(
    predicted_sweep: PredictedSweep, found: MeasuredDifferences
) -> None:
    number = 3
    roi = predicted_sweep.rois[number]
    _, y = measured(predicted_sweep.data / roi.shard, roi)
    responses, every = MeasuredResponses(y), np.ones(roi.n_vertices, bool)
    seeds = [
        responses.mean_r(predicted_sweep.predicted(trials[number], roi), every)
        for trials in predicted_sweep.contrastive
    ]
    one = found.differences[BETWEEN][roi.id].seeds
    assert sorted(one) == ["0", "1"]
    assert one["0"].difference == pytest.approx((seeds[0][0] - seeds[1][0]) / 4, abs=1e-7)
    assert one["1"].difference == pytest.approx(-one["0"].difference)
    expected = (seeds[0][1] - seeds[1][1]) / 4
    assert one["0"].images.variance == pytest.approx(expected @ expected, rel=1e-5)


def test_a_method_without_a_seed_or_with_one_adds_no_effect_of_seeds(
    predicted_sweep: PredictedSweep, found: MeasuredDifferences
) -> None:
    roi = predicted_sweep.rois[0].id
    tuned, regression = (found.differences[pair][roi] for pair in (TUNED, REGRESSION))
    assert (tuned.has_one_seed, regression.has_one_seed) == (False, True)
    assert tuned.has_seeds
    assert set(tuned.seeds) == {"0", "1"}
    assert not regression.seeds


def test_an_image_has_one_number_in_all_subjects_of_a_data_set(
    predicted_sweep: PredictedSweep, found: MeasuredDifferences
) -> None:
    numbers = ImageNumbers()
    first = numbers.of("nsd", ["nsd-7", "nsd-3"])
    assert numbers.of("nsd", ["nsd-3", "nsd-9", "nsd-7"]).tolist() == [first[1], 2, first[0]]
    assert not set(numbers.of("nod", ["nsd-3", "nsd-7"])) & set(first)
    by_subject: dict[str, set[int]] = {}
    for one in found.differences[TUNED].values():
        by_subject.setdefault(one.subject[1], set()).update(one.images.number.tolist())
    assert len(set.union(*by_subject.values())) == sum(map(len, by_subject.values()))
    shard = predicted_sweep.data / predicted_sweep.rois[0].shard
    held_out = HeldOutResponses.read(shard, ["lh"])
    rows = [
        row
        for block in read_rows(shard, ("index", "split", "stimulus"))
        for row in block.to_pylist()
        if row["split"] == "test"
    ]
    assert dict(zip(held_out.index.tolist(), held_out.stimuli.tolist(), strict=True)) == {
        row["index"]: row["stimulus"] for row in rows
    }


def test_a_training_of_several_subjects_is_shared(
    predicted_sweep: PredictedSweep, found: MeasuredDifferences
) -> None:
    pooled = found.differences[predicted_sweep.pooled.method, "untuned"]
    assert set(pooled) == {roi.id for roi in predicted_sweep.pooled.rois}
    assert all(one.shares_training for one in pooled.values())
    assert not any(one.shares_training for one in found.differences[TUNED].values())


def test_an_roi_without_predictions_has_a_reason(
    predicted_sweep: PredictedSweep, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(predicted_sweep.runs, runs)
    roi = predicted_sweep.rois[1]
    gone = RunDirectory(runs).prediction_file(predicted_sweep.contrastive[1][1].id, roi.id)
    gone.unlink()
    found = predicted_sweep.measure(TUNED, REGRESSION, runs=runs)
    assert found.missing[TUNED] == {roi.id: f"{gone}: no predictions were kept"}
    assert set(found.differences[TUNED]) == {one.id for one in predicted_sweep.rois if one != roi}
    assert not found.missing[REGRESSION]


def test_images_may_be_in_any_order_in_a_file(
    predicted_sweep: PredictedSweep, found: MeasuredDifferences, tmp_path: Path
) -> None:
    """Each trial's predictions are compared with the responses to their own images."""
    runs = tmp_path / "runs"
    shutil.copytree(predicted_sweep.runs, runs)
    roi = predicted_sweep.rois[0]
    trial = predicted_sweep.contrastive[0][0]
    path = RunDirectory(runs).prediction_file(trial.id, roi.id)
    table = read_parquet(path)
    write_parquet(path, table.take(np.arange(len(table))[::-1]), use_dictionary=False)
    one = predicted_sweep.measure(BETWEEN, runs=runs).differences[BETWEEN][roi.id]
    expected = found.differences[BETWEEN][roi.id]
    assert one.difference == pytest.approx(expected.difference, abs=1e-6)
    assert one.seeds["0"].images.number.tolist() == sorted(expected.seeds["0"].images.number)
    order = np.argsort(expected.seeds["0"].images.number)
    effects = expected.seeds["0"].images.effect[order]
    np.testing.assert_allclose(one.seeds["0"].images.effect, effects, atol=1e-6)


def test_a_vertex_without_an_r_of_one_trial_is_in_no_difference_of_it(
    predicted_sweep: PredictedSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    roi, trial = predicted_sweep.rois[0], predicted_sweep.contrastive[0][0]

    def with_a_hole(path: Path, protocol: str) -> RoiPredictions | None:
        found = read_predictions(path, protocol)
        if found is None or path.parts[-2:] != (trial.id, f"{roi.id}.parquet"):
            return found
        values = found.values.copy()
        values[:, 0] = np.nan
        return replace(found, values=values)

    monkeypatch.setattr(measured_differences, "read_predictions", with_a_hole)
    found = predicted_sweep.measure(TUNED, REGRESSION)
    vertices = read_score_table(RunDirectory(predicted_sweep.runs)).vertices
    of_roi = vertices[vertices["roi_id"] == roi.id]
    others = of_roi[of_roi["vertex"] != of_roi["vertex"].min()]
    for (a, b), used in ((TUNED, others), (REGRESSION, of_roi)):
        means = used.groupby("method", observed=True)["r"].mean()
        difference = found.differences[a, b][roi.id].difference
        assert difference == pytest.approx(means[a] - means[b], abs=1e-4)


def test_without_the_data_that_was_scored_nothing_is_measured(
    predicted_sweep: PredictedSweep, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(predicted_sweep.data, data)
    shard = data / predicted_sweep.rois[0].shard
    manifest = json.loads((shard / MANIFEST).read_text())
    (shard / MANIFEST).write_text(json.dumps({**manifest, "data": "0" * 16}))
    found = predicted_sweep.measure(TUNED, data=data)
    own = {roi.id for roi in predicted_sweep.rois if roi.subject == SUBJECTS[0]}
    assert set(found.missing[TUNED]) == own
    assert {str(shard) in why for why in found.missing[TUNED].values()} == {True}
