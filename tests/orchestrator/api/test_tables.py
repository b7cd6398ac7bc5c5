"""Data frames of scores hold what the commands print and export."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.api import compare, scores, vertex_scores
from orchestrator.scores.score_table import read_score_table
from orchestrator.scores.tidy_export import TIDY_SCHEMA
from tests.builders.edited_shards import trust_files
from tests.builders.predicted_sweep import PredictedSweep
from tests.builders.s3_server import BUCKET, s3
from tests.orchestrator.scores.test_intervals import expected_interval
from trainables.results.run_directory import RunDirectory


@pytest.fixture
def all_vertices(predicted_sweep: PredictedSweep) -> pd.DataFrame:
    return read_score_table(RunDirectory(predicted_sweep.runs)).vertices


def test_scores_have_a_row_per_trial_and_roi(predicted_sweep, all_vertices) -> None:
    found = scores(predicted_sweep.runs, data=predicted_sweep.data)
    assert list(found.columns)[: len(TIDY_SCHEMA)] == TIDY_SCHEMA.names
    keys = ["trial_id", "subject", "hemisphere", "roi"]
    means = all_vertices.groupby(keys, observed=True)["r"].mean()
    assert len(found) == len(means) > 20
    expected = [means[tuple(place)] for place in found[keys].to_numpy().tolist()]
    np.testing.assert_allclose(found["r"], expected)


def test_a_method_is_compared_with_untuned_by_default(predicted_sweep) -> None:
    found = compare(predicted_sweep.runs, "contrastive", data=predicted_sweep.data)
    total = found[found["is_total"]].iloc[0]
    assert (total["method"], total["reference"], total["n_subjects"]) == (
        "contrastive",
        "untuned",
        3,
    )
    assert total["interval_over"] == "subjects, seeds, images"
    assert total["difference"] == pytest.approx(total["r"] - total["r_reference"])
    expected = expected_interval(predicted_sweep, "contrastive")
    assert (total["low"], total["high"]) == pytest.approx(expected, abs=1e-4)


def test_without_predictions_there_is_no_interval(predicted_sweep, tmp_path) -> None:
    (tmp_path / "scores").symlink_to(predicted_sweep.runs / "scores")
    found = compare(tmp_path, "contrastive", data=predicted_sweep.data)
    assert found[["low", "high", "interval_over"]].isna().all(axis=None)
    assert found["difference"].notna().all()


def test_vertices_have_the_mean_over_seeds_and_their_place(predicted_sweep, all_vertices) -> None:
    found = vertex_scores(predicted_sweep.runs, data=predicted_sweep.data)
    tuned = found[found["method"] == "contrastive"]
    assert set(tuned["n_seeds"]) == {2}
    one = tuned.iloc[5]
    of_vertex = (all_vertices["method"] == "contrastive") & (
        all_vertices["vertex"] == one["vertex"]
    )
    for column in ("subject", "hemisphere", "roi"):
        of_vertex &= all_vertices[column] == one[column]
    assert of_vertex.sum() == 2
    assert one["r"] == pytest.approx(all_vertices.loc[of_vertex, "r"].mean())
    places = pq.read_table(predicted_sweep.data / f"nsd-{one['subject']}" / "vertices.parquet")
    rows = places.to_pandas().set_index(["hemisphere", "vertex"])
    assert one["fsaverage"] == rows.loc[(one["hemisphere"], one["vertex"]), "fsaverage"]


def test_vertices_on_fslr_have_their_place_there(predicted_sweep, tmp_path) -> None:
    data = Path(shutil.copytree(predicted_sweep.data, tmp_path / "data"))
    shard = next(path for path in sorted(data.iterdir()) if (path / "vertices.parquet").exists())
    table = pq.read_table(shard / "vertices.parquet")
    places = pa.array([3 * vertex for vertex in table["vertex"].to_pylist()], pa.int32())
    pq.write_table(table.append_column("fslr", places), shard / "vertices.parquet")
    trust_files(shard)
    found = vertex_scores(predicted_sweep.runs, data=data)
    is_there = found["subject"] == shard.name.removeprefix("nsd-")
    assert is_there.any()
    assert (found.loc[is_there, "fslr"] == 3 * found.loc[is_there, "vertex"]).all()
    assert found.loc[~is_there, "fslr"].isna().all()


def test_directories_in_s3_are_read_as_local_ones(predicted_sweep, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "cache"))
    local = scores(predicted_sweep.runs, data=predicted_sweep.data)
    with s3() as client:
        for name in ("runs", "data"):
            home = getattr(predicted_sweep, name)
            for path in (one for one in home.rglob("*") if one.is_file()):
                client.upload_file(str(path), BUCKET, f"{name}/{path.relative_to(home)}")
        found = scores(f"s3://{BUCKET}/runs", data=f"s3://{BUCKET}/data")
    pd.testing.assert_frame_equal(found, local)
    assert found["low"].notna().any()


def test_a_directory_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="nowhere: no such directory; give the directory of a"):
        scores(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("contrastve",), "did you mean 'contrastive'"),
        (("contrastive", "temperature=7"), "no trial has it"),
    ],
)
def test_a_side_without_scores_is_refused(predicted_sweep, arguments, message) -> None:
    with pytest.raises(ValueError, match=message):
        compare(predicted_sweep.runs, *arguments, data=predicted_sweep.data)


def test_a_protocol_without_scores_is_refused(predicted_sweep) -> None:
    with pytest.raises(ValueError, match="there are nested"):
        scores(predicted_sweep.runs, protocol="papers")
