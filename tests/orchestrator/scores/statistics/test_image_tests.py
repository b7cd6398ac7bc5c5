"""Tests over images, from kept predictions and shards to the rows of a table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from benchmarks.small_shards import write_shards
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.statistics.image_tests import (
    ImageTests,
    compare_over_images,
    summarise_over_images,
)
from orchestrator.scores.statistics.vertex_tests import Predicted, compare_vertices
from tests.builders.small_predictions import measured, write_predicted
from trainables.data.data_directory import MANIFEST, DataDirectory
from trainables.results.prediction_files import read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Untuned

METHODS = ("contrastive", "untuned")


class Swept:
    """Two subjects' ROIs, scored by two methods of which one is much better."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.rois = write_shards(home / "data", ("subj01", "subj02"), n_images=320, image_size=8)
        self.untuned = write_predicted(self.runs, self.data, Untuned(), self.rois, 2.0)
        self.finetuned = write_predicted(self.runs, self.data, Contrastive(), self.rois, 0.7)

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @property
    def data(self) -> Path:
        return self.home / "data"

    def compare(self, runs: Path | None = None, data: Path | None = None) -> ImageTests:
        runs, data = runs or self.runs, data or self.data
        return compare_over_images(
            read_score_table(RunDirectory(runs)).vertices,
            METHODS,
            (RunDirectory(runs), DataDirectory(data)),
        )


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Swept:
    return Swept(tmp_path_factory.mktemp("swept"))


@pytest.fixture(scope="module")
def tests(swept) -> ImageTests:
    return swept.compare()


def test_every_shared_vertex_of_every_roi_is_tested(swept, tests) -> None:
    assert len(tests.vertices) == sum(roi.n_vertices for roi in swept.rois) == 58
    assert list(tests.rois.index) == [roi.id for roi in swept.rois]
    assert tests.missing == []
    assert set(tests.vertices["n_images"]) == {80}


def test_predictions_and_responses_are_joined_by_row(swept, tests) -> None:
    """r of the stored predictions with the shards' responses is the r of the scores."""
    vertices = read_score_table(RunDirectory(swept.runs)).vertices
    scored = vertices.pivot_table(
        index=["roi_id", "vertex"], columns="method", values="r", observed=True
    )
    found = tests.vertices.set_index(["roi_id", "vertex"])
    assert len(scored) == len(found)
    scored = scored.reindex(found.index)
    np.testing.assert_allclose(found["r_a"], scored["contrastive"], atol=1e-3)
    np.testing.assert_allclose(found["r_b"], scored["untuned"], atol=1e-3)


def test_an_roi_is_tested_on_its_own_predictions(swept, tests) -> None:
    roi, number = swept.rois[3], 3
    _, y = measured(swept.data / roi.shard, roi)
    a, b = (
        read_predictions(
            RunDirectory(swept.runs).prediction_file(trials[number].id, roi.id), "nested"
        ).values
        for trials in (swept.finetuned, swept.untuned)
    )
    predicted = Predicted(y, a, b)
    expected = compare_vertices(predicted)
    rows = tests.vertices[tests.vertices["roi_id"] == roi.id]
    for name in ("low", "high", "p"):
        np.testing.assert_allclose(rows[name], getattr(expected, name), rtol=1e-9)


def test_p_is_corrected_over_a_subject_s_vertices(tests) -> None:
    for _, rows in tests.vertices.groupby("subject"):
        expected = scipy.stats.false_discovery_control(rows["p"])
        np.testing.assert_allclose(rows["q"], expected)


def test_rows_follow_the_hierarchy_and_find_the_planted_gain(tests) -> None:
    early, higher, everything = summarise_over_images(tests, "group")
    frame = tests.vertices.assign(better=(tests.vertices["q"] <= 0.05).astype(float))
    of_rois = frame.groupby(["group", "subject", "roi_id"])[["difference", "better"]].mean()
    of_subjects = of_rois.groupby(["group", "subject"]).mean().groupby("group").mean()
    assert (early.row.label, higher.row.label, everything.row.label) == ("early", "higher", "all")
    assert (early.a, early.b) == METHODS
    for one in (early, higher):
        assert one.difference == pytest.approx(of_subjects.at[one.row.label, "difference"])
        assert one.share_better == pytest.approx(of_subjects.at[one.row.label, "better"])
        assert one.share_worse == 0
    assert everything.n_vertices == 58
    assert everything.share_better > 0.9


def test_rois_without_predictions_are_reported_and_the_others_tested(swept, tmp_path) -> None:
    runs = tmp_path / "runs"
    write_predicted(runs, swept.data, Untuned(), swept.rois[:3], 2.0)
    write_predicted(runs, swept.data, Contrastive(), swept.rois[:3:2], 0.7)
    write_predicted(runs, swept.data, Contrastive(), swept.rois[1:2], 0.7, keep=False)
    found = swept.compare(runs)
    assert list(found.rois.index) == [swept.rois[0].id, swept.rois[2].id]
    (line,) = found.missing
    assert line.endswith("nsd-subj01-lh-V2d.parquet: no predictions were kept")


def test_responses_ingested_anew_with_other_content_are_not_used(swept, tmp_path) -> None:
    write_shards(tmp_path / "data", ("subj01", "subj02"), n_images=320, image_size=8, seed=1)
    found = swept.compare(data=tmp_path / "data")
    assert found.vertices.empty
    assert len(found.missing) == len(swept.rois)
    assert "no responses with the content" in found.missing[0]
    assert summarise_over_images(found, "roi") == []


def test_without_data_nothing_is_tested(swept, tmp_path) -> None:
    assert not (tmp_path / MANIFEST).exists()
    assert swept.compare(data=tmp_path).rois.empty


def test_streams_are_corrected_apart() -> None:
    from orchestrator.scores.statistics.image_tests import corrected

    frame = pd.DataFrame(
        {
            "dataset": "nsd",
            "subject": "subj01",
            "group": ["early", "early", "streams", "streams"],
            "p": [0.01, 0.04, 0.01, np.nan],
        }
    )
    np.testing.assert_allclose(corrected(frame)["q"], [0.02, 0.04, 0.01, np.nan])


def test_methods_on_partly_other_images_are_compared_on_those_they_share(swept, tmp_path) -> None:
    from orchestrator.scores.statistics.paired_predictions import on_the_same_images

    path = RunDirectory(swept.runs).prediction_file(swept.finetuned[0].id, swept.rois[0].id)
    whole = read_predictions(path, "nested")
    part = whole.take(np.arange(70, 10, -1))
    a, b = on_the_same_images(whole, part)
    np.testing.assert_array_equal(a.index, b.index)
    np.testing.assert_array_equal(a.values, b.values)
    assert len(a.index) == 60
