"""What is beyond the controls of fine-tuning: planted gains, recomputed from the scores."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.analyze.analysis import Inputs, Missing
from orchestrator.analyze.questions.controls import PERMUTED, make
from orchestrator.report.sections.controls import section
from tests.builders.small_predictions import write_predictions_of
from tests.builders.small_scores import ENCODING, roi, write_of
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Roi, SelfSupervised, Trial, Untuned

GAINS = {"real": 0.06, "permuted": 0.01, "cross": 0.03, "images": 0.02, "head": 0.05}
N = 30


def trials_on(where: Roi, other: Roi) -> dict[str, Trial]:
    real = Trial(Contrastive(), (where,), encoding=ENCODING)
    return {
        "untuned": replace(real, objective=Untuned()),
        "real": real,
        "permuted": replace(real, permuted=True),
        "cross": replace(real, tuned_on=other),
        "images": replace(real, objective=SelfSupervised(epochs=3)),
        "head": replace(real, objective=Contrastive(hidden_ratio=0.4, embedding_ratio=0.1)),
    }


@pytest.fixture
def planted(tmp_path) -> tuple[Path, dict[tuple[str, str, str], np.ndarray]]:
    """Scores of two subjects on an early and a higher ROI; subject 2 lacks a permuted control.

    Each control gains what GAINS says, and twice that in the higher ROI.
    """
    generator, values = np.random.default_rng(0), {}
    for subject in ("subj01", "subj02"):
        for name, scale in (("V1v", 1), ("EBA", 2)):
            where = roi(name, subject, n=N)
            base = generator.normal(0.4, 0.1, N)
            for kind, trial in trials_on(where, roi("V2d", subject, n=9)).items():
                if (subject, kind, name) == ("subj02", "permuted", "V1v"):
                    continue
                noise = generator.normal(0, 0.002, N) * (kind != "untuned")
                r = base + scale * GAINS.get(kind, 0.0) + noise
                write_of(tmp_path / "runs", trial, where, r)
                values[kind, subject, name] = r
    return tmp_path / "runs", values


def inputs(runs: Path) -> Inputs:
    return Inputs(RunDirectory(runs), DataDirectory(runs.parent / "data"))


def test_every_control_is_beside_the_real_trials_with_its_planted_gain(planted) -> None:
    table = make(inputs(planted[0])).to_pandas()
    assert set(table["method"]) == {"contrastive"}
    controls = {
        PERMUTED: "permuted",
        "another ROI": "cross",
        "images alone": "images",
        "head 0.4/0.1": "head",
    }
    assert set(table["control"]) == set(controls)
    assert len(table) == 3 * len(controls)
    for row in table.itertuples():
        gain, of_control = GAINS["real"], GAINS[controls[row.control]]
        scale = {"early": 1, "higher": 2, "all": 1.5}[row.row]
        if (row.control, row.row) == (PERMUTED, "all"):  # subject 2 has the higher ROI alone
            scale = (1.5 + 2) / 2
        assert row.gain == pytest.approx(scale * gain, abs=0.002)
        assert row.control_gain == pytest.approx(scale * of_control, abs=0.002)
        assert row.difference == pytest.approx(row.gain - row.control_gain, abs=1e-12)
    assert table[["gain_low", "difference_high", "share"]].isna().all(axis=None)  # no predictions


def test_a_share_of_the_gain_is_given_where_its_interval_is_above_0(
    predicted_sweep, tmp_path
) -> None:
    runs, rng = tmp_path / "runs", np.random.default_rng(0)
    shutil.copytree(predicted_sweep.runs, runs)
    for trial in predicted_sweep.contrastive[0]:
        permuted = replace(trial, permuted=True)
        write_predictions_of(runs, predicted_sweep.data, permuted, 1.5, rng)
    table = make(Inputs(RunDirectory(runs), DataDirectory(predicted_sweep.data))).to_pandas()
    assert set(table["control"]) == {PERMUTED}
    for row in table.itertuples():
        assert row.gain_low > 0
        assert row.share == pytest.approx(row.difference / row.gain)
        for name in ("gain", "control_gain", "difference"):
            middle = (getattr(row, f"{name}_low") + getattr(row, f"{name}_high")) / 2
            assert middle == pytest.approx(getattr(row, name), abs=1e-9)


def test_all_numbers_of_a_row_are_over_the_rois_that_all_its_sides_have(planted) -> None:
    runs, values = planted
    table = make(inputs(runs)).to_pandas()
    [early] = table[(table["control"] == PERMUTED) & (table["row"] == "early")].itertuples()
    assert (early.n_rois, early.n_subjects, early.n_vertices) == (1, 1, N)
    expected = [values[kind, "subj01", "V1v"].mean() for kind in ("untuned", "permuted", "real")]
    found = (early.r_untuned, early.r_control, early.r)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_control_of_another_setting_is_not_compared(planted, tmp_path) -> None:
    runs, _ = planted
    where = roi("V1v", "subj01", n=N)
    other = Contrastive(temperature=0.1)
    before = make(inputs(runs)).to_pandas()
    write_of(runs, Trial(other, (where,), encoding=ENCODING, permuted=True), where, [0.1] * N)
    after = make(inputs(runs)).to_pandas()
    assert after.equals(before)  # its real trials are missing
    write_of(runs, Trial(other, (where,), encoding=ENCODING), where, [0.9] * N)
    both = make(inputs(runs)).to_pandas()
    assert both["setting"].nunique() == 2
    [row] = both[(both["control"] == PERMUTED) & (both["r"] > 0.8)].itertuples()
    assert row.r_control == pytest.approx(0.1)


def test_seeds_are_averaged(planted) -> None:
    runs, values = planted
    where = roi("V1v", "subj01", n=N)
    trial = Trial(Contrastive(), (where,), encoding=ENCODING, permuted=True, seed=1)
    write_of(runs, trial, where, values["permuted", "subj01", "V1v"] + 0.02)
    table = make(inputs(runs)).to_pandas()
    [early] = table[(table["control"] == PERMUTED) & (table["row"] == "early")].itertuples()
    expected = values["permuted", "subj01", "V1v"].mean() + 0.01
    assert early.r_control == pytest.approx(expected)


def test_no_share_is_named_where_nothing_is_gained(tmp_path) -> None:
    where = roi("V1v", n=N)
    r = np.random.default_rng(0).normal(0.4, 0.1, N)
    of_roi = trials_on(where, roi("V2d", n=9))
    for kind, shift in (("untuned", 0.0), ("real", -0.01), ("permuted", -0.02)):
        write_of(tmp_path, of_roi[kind], where, r + shift)
    [row] = make(inputs(tmp_path)).to_pylist()
    assert row["difference"] == pytest.approx(0.01)
    assert row["share"] is None


def test_without_controls_the_analysis_says_what_makes_them(tmp_path) -> None:
    where = roi("V1v", n=N)
    for kind in ("untuned", "real"):
        trial = trials_on(where, roi("V2d", n=9))[kind]
        write_of(tmp_path, trial, where, np.linspace(0.1, 0.5, N))
    with pytest.raises(Missing, match=r"orchestrator\.sweep controls"):
        make(inputs(tmp_path))


def test_the_section_says_what_is_beyond_permuted_responses_group_by_group(planted) -> None:
    shown = section(make(inputs(planted[0])))
    early, higher = shown.reading
    assert early.startswith("In early ROIs contrastive gains +0.06")
    assert "+0.010 if responses are permuted: a difference of +0.05" in early
    assert higher.startswith("In higher ROIs contrastive gains +0.12")
    [picture] = shown.figures
    assert "another ROI +0.03" in picture.alt
    assert picture.source.startswith("<svg")
    absent = [one.name for one in shown.columns if one.name not in shown.table.columns]
    assert not absent
