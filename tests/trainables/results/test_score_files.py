"""Score files: complete, self-describing, and refused when damaged."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.encoding.score_rois import RoiScores
from trainables.exceptions import Denied
from trainables.results import prediction_files, score_files
from trainables.results.prediction_files import read_predictions
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import (
    SCORE_SCHEMA,
    SIMULATED_KEY,
    TRIAL_KEY,
    describe_scores,
    read_score_file,
    read_scores,
    summarise,
    write_scores,
)
from trainables.spec import Contrastive, Encoding, Roi, Trial, Untuned

ROI = Roi("nsd", "subj01", "lh", "V1v", 4, "0123abcd")
LAYERS = ("features.2", "classifier.5")
ENCODING = Encoding(layers=LAYERS, protocols=("nested", "paper"))
TRIAL = Trial(Contrastive(), (ROI,), encoding=ENCODING)
R = np.array([0.5, np.nan, -0.25, 0.75])


def roi_scores(protocol: str = "nested", roi: Roi = ROI, r: np.ndarray = R) -> RoiScores:
    alpha = np.where(np.isnan(r), np.nan, 10.0)
    return RoiScores(
        roi=roi,
        protocol=protocol,
        layer=LAYERS[1],
        layers=LAYERS,
        vertex=np.array([3, 5, 7, 11], np.int32),
        alpha=alpha,
        r=r,
        r_by_layer=np.stack([r - 0.1, r]),
        choice_by_layer=np.stack([r - 0.2, r - 0.05]),
        n_test=15,
    )


def written(runs: Path) -> Path:
    return write_scores(
        RunDirectory(runs), TRIAL, [roi_scores("nested"), roi_scores("paper", r=R / 2)]
    )


def test_a_row_is_written_for_each_vertex_and_protocol(tmp_path) -> None:
    table = read_score_file(written(tmp_path))
    assert table.schema == SCORE_SCHEMA
    assert table["protocol"].to_pylist() == ["nested"] * 4 + ["paper"] * 4
    assert table["vertex"].to_pylist() == [3, 5, 7, 11] * 2
    first = table.slice(0, 1).to_pylist()[0]
    assert first.pop("host")
    assert first.pop("r_by_layer") == pytest.approx([0.4, 0.5])
    assert first.pop("choice_by_layer") == pytest.approx([0.3, 0.45])
    assert first == {
        "trial_id": TRIAL.id,
        "method": "contrastive",
        "dataset": "nsd",
        "subject": "subj01",
        "hemisphere": "lh",
        "roi": "V1v",
        "vertex": 3,
        "protocol": "nested",
        "layer": "classifier.5",
        "alpha": 10.0,
        "r": 0.5,
        "n_test": 15,
        "trained_on": "nsd-subj01-lh-V1v",
        "n_overlap": 0,
        "n_excluded": 0,
    }


def test_a_constant_vertex_has_null_r_and_alpha_and_keeps_its_row(tmp_path) -> None:
    table = read_score_file(written(tmp_path))
    assert table["r"].to_pylist()[:4] == [0.5, None, -0.25, 0.75]
    assert table["alpha"].to_pylist()[:4] == [10.0, None, 10.0, 10.0]
    assert np.isnan(table["r_by_layer"].to_pylist()[1]).all()


def test_r_keeps_all_its_digits(tmp_path) -> None:
    deterministic = np.array([1 / 3, np.nan, -1e-17, 1.0])
    path = write_scores(RunDirectory(tmp_path), TRIAL, [roi_scores(r=deterministic)])
    assert read_score_file(path)["r"].to_pylist() == [1 / 3, None, -1e-17, 1.0]


def test_the_file_says_which_trial_made_it(tmp_path) -> None:
    content = pq.read_schema(written(tmp_path)).metadata[TRIAL_KEY]
    assert Trial.from_json(content.decode()) == TRIAL


def test_the_file_is_named_by_trial_and_roi_and_nothing_lies_beside_it(tmp_path) -> None:
    path = written(tmp_path)
    assert path == tmp_path / "scores" / TRIAL.id / "nsd-subj01-lh-V1v.parquet"
    assert path == RunDirectory(tmp_path).score_file(TRIAL.id, ROI.id)
    assert list(path.parent.iterdir()) == [path]


def test_scores_are_of_measured_responses_unless_they_say_otherwise(tmp_path) -> None:
    assert SIMULATED_KEY not in describe_scores(TRIAL, "code")
    assert describe_scores(TRIAL, "code", is_simulated=True)[SIMULATED_KEY] == b"true"


@pytest.mark.parametrize("kind", ["scores", "predictions"])
def test_a_file_that_this_user_may_not_read_is_named_with_the_cure(
    tmp_path, monkeypatch, kind
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError

    path = written(tmp_path)
    module = score_files if kind == "scores" else prediction_files
    monkeypatch.setattr(module, "read_parquet", refuse)
    with pytest.raises(
        Denied, match=rf"^{path}: this user may not read it .* chmod -R g\+rX {path},"
    ):
        read_score_file(path) if kind == "scores" else read_predictions(path, "nested")


def test_all_rois_of_a_trial_are_read_together(tmp_path) -> None:
    other = replace(ROI, name="EBA")
    trial = Trial(Untuned(), (ROI, other), encoding=ENCODING)
    for roi in trial.rois:
        write_scores(RunDirectory(tmp_path), trial, [roi_scores(roi=roi), roi_scores("paper", roi)])
    written(tmp_path)
    table = read_scores(RunDirectory(tmp_path), trial.id)
    assert sorted(set(table["roi"].to_pylist())) == ["EBA", "V1v"]
    assert len(table) == 16


def test_a_half_written_file_of_a_killed_process_is_not_read(tmp_path) -> None:
    path = written(tmp_path)
    path.with_name(f".{path.name}.4711").write_bytes(b"PAR1 half")
    assert len(read_scores(RunDirectory(tmp_path), TRIAL.id)) == 8


def test_a_trial_without_scores_reads_as_an_empty_table(tmp_path) -> None:
    table = read_scores(RunDirectory(tmp_path), TRIAL.id)
    assert (len(table), table.schema) == (0, SCORE_SCHEMA)
    assert summarise(table) == {}


def test_scores_are_read_from_below_a_directory_with_an_equals_sign(tmp_path) -> None:
    assert read_score_file(written(tmp_path / "lr=1")).schema == SCORE_SCHEMA


def test_the_summary_counts_and_averages_each_protocol(tmp_path) -> None:
    summary = summarise(read_score_file(written(tmp_path)))
    assert summary == pytest.approx(
        {
            "nested_n_vertices": 4,
            "nested_n_constant": 1,
            "nested_r_mean": 1 / 3,
            "nested_r_median": 0.5,
            "nested_share_positive": 2 / 3,
            "paper_n_vertices": 4,
            "paper_n_constant": 1,
            "paper_r_mean": 1 / 6,
            "paper_r_median": 0.25,
            "paper_share_positive": 2 / 3,
        }
    )


@pytest.mark.parametrize("others", [("early",), ("HCP_MMP1-V1", "ventral"), ("all", "nsdgeneral")])
def test_means_count_a_vertex_once_whichever_rois_hold_it(others) -> None:
    """V1v has an r of 0.5; streams, atlases and whole hemispheres that hold it have 0.9."""
    names = ["V1v", "V1v", *others]
    r = [0.5 if name == "V1v" else 0.9 for name in names]
    table = pa.table({"roi": names, "protocol": ["nested"] * len(names), "r": r})
    summary = summarise(table)
    assert (summary["nested_r_mean"], summary["nested_n_vertices"]) == (0.5, 2)
    alone = summarise(table.slice(2))
    assert (alone["nested_r_mean"], alone["nested_n_vertices"]) == (0.9, 1)


def test_an_r_of_exactly_0_is_not_positive(tmp_path) -> None:
    r = np.array([0.0, 0.5, -0.5, 0.25])
    summary = summarise(
        read_score_file(write_scores(RunDirectory(tmp_path), TRIAL, [roi_scores(r=r)]))
    )
    assert summary["nested_share_positive"] == 0.5


def test_an_roi_of_constant_vertices_has_counts_but_no_mean(tmp_path) -> None:
    path = write_scores(RunDirectory(tmp_path), TRIAL, [roi_scores(r=np.full(4, np.nan))])
    assert summarise(read_score_file(path)) == {"nested_n_vertices": 4, "nested_n_constant": 4}


def damaged(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "damage",
    [lambda b: b"", lambda b: b"not parquet", lambda b: b[: len(b) // 2], lambda b: b[:-1]],
)
def test_a_damaged_score_file_is_refused_by_name(tmp_path, damage) -> None:
    path = written(tmp_path)
    path = damaged(path, damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"{path.name}: not a readable score file .*remove it"):
        read_score_file(path)
    with pytest.raises(ValueError, match=path.name):
        read_scores(RunDirectory(tmp_path), TRIAL.id)


def without_layer(table: pa.Table) -> pa.Table:
    return table.drop_columns(["layer"])


def with_narrow_r(table: pa.Table) -> pa.Table:
    return table.set_column(10, "r", table["r"].cast(pa.float32()))


@pytest.mark.parametrize("change", [without_layer, with_narrow_r])
def test_a_score_file_of_another_schema_is_refused_by_name(
    tmp_path, change: Callable[[pa.Table], pa.Table]
) -> None:
    path = written(tmp_path)
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(ValueError, match=rf"{path.name}: columns .*expected .*remove it"):
        read_score_file(path)
