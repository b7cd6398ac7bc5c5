"""Evaluate's tables, and the notes under them."""

import shutil

import pytest

from orchestrator.evaluate.pairs import evaluations, is_transfer
from orchestrator.scores import __main__ as scores
from tests.builders.evaluated_sweep import QUICK
from tests.builders.transfer_shards import (
    TransferLab,
)


def shown_scores(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert scores.main(["--out", "runs", *arguments]) == 0
    return capsys.readouterr().out


def matrix(shown: str, title: str) -> dict[str, list[str]]:
    """Read a table under its title: the words of each row by the first one."""
    lines = shown[shown.index(title) :].splitlines()
    rows = [line.split() for line in lines[4:]]
    ends = [k for k, words in enumerate(rows) if words and words[0].startswith(("transfer", "row"))]
    return {words[0]: words[1:] for words in rows[: ends[0]] if words}


def test_transfer_is_shown_by_model_and_subject_with_the_model_s_own_trial(home, capsys) -> None:
    shown = shown_scores(capsys, "--by", "model")
    found = matrix(shown, "transfer-regression, early, protocol nested: mean r")
    assert list(found)[:3] == ["subj01", "subj02", "subj03"]
    # Onto subject 2 nothing was evaluated: its column has its own trial alone.
    assert [len(found[model]) for model in ("subj01", "subj02", "subj03")] == [2, 3, 2]
    assert found["subj01"][0].startswith("(")
    alike, own = float(found["subj02"][0]), float(found["subj01"][0].strip("()"))
    assert alike == pytest.approx(own, abs=0.1)
    assert float(found["subj03"][0]) < alike - 0.3
    gains = matrix(shown, "transfer-regression, early, protocol nested: mean r minus untuned")
    untuned = [
        float(found[model][0].strip("()")) - float(gains[model][0].strip("()"))
        for model in ("subj01", "subj02", "subj03")
    ]
    assert untuned == pytest.approx([untuned[0]] * 3, abs=1.1e-3)  # one ROI, rounded numbers
    better = matrix(shown, "transfer-regression, early, protocol nested: vertices better")
    assert better["subj02"][0] == "100%"
    assert float(better["subj03"][0].rstrip("%")) < 50


def test_other_tables_leave_out_what_has_several_models_and_say_so(home, capsys) -> None:
    shown = shown_scores(capsys)
    assert "transfer-regression: several models on 2 ROIs; --by model shows them" in " ".join(
        shown.split()
    )
    assert "transfer" not in shown.split("transfer-regression: several")[0]
    kept = shown_scores(capsys, "--trial", "transfer-regression-nsd-subj02")
    assert "several models" not in kept
    assert "transfer-regression" in kept


def test_models_can_be_compared_with_untuned_where_each_roi_has_one(home, capsys) -> None:
    arguments = ["--compare", "transfer-regression", "untuned"]
    shown = shown_scores(capsys, *arguments, "--trial", "transfer-regression-nsd-subj03")
    assert "transfer-regression against untuned" in shown


def test_by_model_is_refused_where_nothing_was_evaluated(home, capsys) -> None:
    assert scores.main(["--out", "runs", "--by", "model", "--compare"]) == 2
    assert "--by model shows each model beside untuned" in capsys.readouterr().err
    assert scores.main(["--out", "runs", "--by", "model", "--subjects", "2"]) == 2
    assert "no scores of an evaluation; run python -m orch" in capsys.readouterr().err


def test_scores_that_leak_are_reported_under_every_table(
    home, tmp_path, capsys, monkeypatch
) -> None:
    for name in ("data", "runs"):
        shutil.copytree(home / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    lab = TransferLab.open(tmp_path)
    model = lab.trial(QUICK, lab.roi(1))
    [leaky] = evaluations([model], [lab.roi(2)], is_transfer, exclude_training_images=False)
    [clean] = evaluations([model], [lab.roi(2)], is_transfer, exclude_training_images=True)
    for one in (leaky, clean):
        lab.run(one)
    shown = " ".join(shown_scores(capsys, "--by", "model").split())
    assert (
        "subject: transfer-regression (on 1 of 5 pairs of a model and an ROI, at most 5 images); "
        "these r leak, and" in shown
    )
    assert (
        "so r is over fewer images: transfer-regression-no-overlap (on 1 of 1 ROIs, at most 5 "
        "images)" in shown
    )
    assert "leak" not in shown_scores(capsys)  # which leaves the leaking method out
