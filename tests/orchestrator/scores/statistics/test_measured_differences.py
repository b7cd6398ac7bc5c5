"""Differences between methods, from kept predictions and shards to each ROI's seeds and images."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from benchmarks.small_shards import write_shards
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.held_out_responses import HeldOutResponses, ImageNumbers
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from orchestrator.scores.statistics.measured_differences import (
    MeasuredDifferences,
    measure_differences,
)
from tests.builders.small_predictions import measured, write_predicted, write_predictions_of
from tests.builders.small_scores import ENCODING
from trainables.data.data_directory import MANIFEST, DataDirectory
from trainables.data.rows import read_rows
from trainables.results.prediction_files import read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Pooled, Regression, Roi, Trial, Untuned

TUNED, REGRESSION = ("contrastive", "untuned"), ("regression", "untuned")
BETWEEN = ("contrastive", "regression")
SUBJECTS = ("subj01", "subj02", "subj03")


class Swept:
    """Three subjects: untuned, contrastive with two seeds, regression with one, one pooled."""

    def __init__(self, home: Path) -> None:
        self.runs, self.data = home / "runs", home / "data"
        self.rois = write_shards(self.data, SUBJECTS, n_images=160, image_size=8)
        write_predicted(self.runs, self.data, Untuned(), self.rois, 2.0)
        self.contrastive = [
            write_predicted(self.runs, self.data, Contrastive(), self.rois, 0.7, seed=seed)
            for seed in (0, 1)
        ]
        write_predicted(self.runs, self.data, Regression(), self.rois, 1.0)
        first = self.rois[0]
        alike = tuple(
            roi for roi in self.rois if (roi.name, roi.hemisphere) == (first.name, first.hemisphere)
        )
        self.pooled = Trial(Pooled(), alike[:2], encoding=ENCODING)
        rng = np.random.default_rng(0)
        write_predictions_of(self.runs, self.data, self.pooled, 0.9, rng)

    def measure(
        self, *pairs: tuple[str, str], runs: Path | None = None, data: Path | None = None
    ) -> MeasuredDifferences:
        runs_at, data_at = RunDirectory(runs or self.runs), DataDirectory(data or self.data)
        return measure_differences(read_score_table(runs_at), pairs, runs_at, data_at)

    def predicted(self, trial: Trial, roi: Roi) -> np.ndarray:
        path = RunDirectory(self.runs).prediction_file(trial.id, roi.id)
        found = read_predictions(path, "nested")
        assert found is not None
        return found.values


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    return Swept(tmp_path_factory.mktemp("swept"))


@pytest.fixture(scope="module")
def found(swept: Swept) -> MeasuredDifferences:
    return swept.measure(TUNED, REGRESSION, BETWEEN, (swept.pooled.method, "untuned"))


def scored(swept: Swept) -> Mapping[tuple[str, str], float]:
    vertices = read_score_table(RunDirectory(swept.runs)).vertices
    return vertices.groupby(["method", "roi_id"], observed=True)["r"].mean()


def test_the_differences_are_those_of_the_scores(swept: Swept, found: MeasuredDifferences) -> None:
    means = scored(swept)
    for a, b in (TUNED, REGRESSION, BETWEEN):
        assert set(found.differences[a, b]) == {roi.id for roi in swept.rois}
        for roi, one in found.differences[a, b].items():
            assert one.difference == pytest.approx(means[a, roi] - means[b, roi], abs=1e-4)
    assert not any(found.missing.values())


def test_effects_are_those_of_an_roi_s_own_predictions(
    swept: Swept, found: MeasuredDifferences
) -> None:
    number = 3
    roi = swept.rois[number]
    _, y = measured(swept.data / roi.shard, roi)
    responses, every = MeasuredResponses(y), np.ones(roi.n_vertices, bool)
    seeds = [
        responses.mean_r(swept.predicted(trials[number], roi), every)
        for trials in swept.contrastive
    ]
    one = found.differences[BETWEEN][roi.id].seeds
    assert sorted(one) == ["0", "1"]
    assert one["0"].difference == pytest.approx((seeds[0][0] - seeds[1][0]) / 4, abs=1e-7)
    assert one["1"].difference == pytest.approx(-one["0"].difference)
    expected = (seeds[0][1] - seeds[1][1]) / 4
    assert one["0"].images.variance == pytest.approx(expected @ expected, rel=1e-5)


def test_a_method_without_a_seed_or_with_one_adds_no_effect_of_seeds(
    swept: Swept, found: MeasuredDifferences
) -> None:
    roi = swept.rois[0].id
    tuned, regression = (found.differences[pair][roi] for pair in (TUNED, REGRESSION))
    assert (tuned.has_one_seed, regression.has_one_seed) == (False, True)
    assert tuned.has_seeds
    assert set(tuned.seeds) == {"0", "1"}
    assert not regression.seeds


def test_an_image_has_one_number_in_all_subjects_of_a_data_set(
    swept: Swept, found: MeasuredDifferences
) -> None:
    numbers = ImageNumbers()
    first = numbers.of("nsd", ["nsd-7", "nsd-3"])
    assert numbers.of("nsd", ["nsd-3", "nsd-9", "nsd-7"]).tolist() == [first[1], 2, first[0]]
    assert not set(numbers.of("nod", ["nsd-3", "nsd-7"])) & set(first)
    by_subject: dict[str, set[int]] = {}
    for one in found.differences[TUNED].values():
        by_subject.setdefault(one.subject[1], set()).update(one.images.number.tolist())
    assert len(set.union(*by_subject.values())) == sum(map(len, by_subject.values()))
    shard = swept.data / swept.rois[0].shard
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


def test_a_training_of_several_subjects_is_shared(swept: Swept, found: MeasuredDifferences) -> None:
    pooled = found.differences[swept.pooled.method, "untuned"]
    assert set(pooled) == {roi.id for roi in swept.pooled.rois}
    assert all(one.shares_training for one in pooled.values())
    assert not any(one.shares_training for one in found.differences[TUNED].values())


def test_an_roi_without_predictions_has_a_reason(swept: Swept, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(swept.runs, runs)
    roi = swept.rois[1]
    gone = RunDirectory(runs).prediction_file(swept.contrastive[1][1].id, roi.id)
    gone.unlink()
    found = swept.measure(TUNED, REGRESSION, runs=runs)
    assert found.missing[TUNED] == {roi.id: f"{gone}: no predictions were kept"}
    assert set(found.differences[TUNED]) == {one.id for one in swept.rois if one != roi}
    assert not found.missing[REGRESSION]


def test_without_the_data_that_was_scored_nothing_is_measured(swept: Swept, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(swept.data, data)
    shard = data / swept.rois[0].shard
    manifest = json.loads((shard / MANIFEST).read_text())
    (shard / MANIFEST).write_text(json.dumps({**manifest, "data": "0" * 16}))
    found = swept.measure(TUNED, data=data)
    own = {roi.id for roi in swept.rois if roi.subject == SUBJECTS[0]}
    assert set(found.missing[TUNED]) == own
    assert {str(shard) in why for why in found.missing[TUNED].values()} == {True}
