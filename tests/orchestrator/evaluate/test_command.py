"""The command line of evaluate: its plan, its refusals in one line and code 2, its tables."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orchestrator.evaluate import __main__ as evaluate
from orchestrator.evaluate.pairs import evaluations, is_any, is_transfer
from orchestrator.scores import __main__ as scores
from tests.builders.transfer_shards import (
    NOD_ROIS,
    REGRESSION,
    TransferLab,
    narrow_backbone,
    weights_on,
    write_subjects,
)
from trainables.models import backbones
from trainables.results.run_directory import RunDirectory
from trainables.spec import Untuned

OWN_ROI = ("rois", "--models", "regression-nsd-subj01", "--subjects", "1", "--rois", "V1v")
QUICK = replace(REGRESSION, epochs=8)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A sweep's models of three subjects' lh V1v and the evaluations onto subjects 1 and 3.

    Subject 1's and subject 2's weights are alike. Subject 1 was trained on five test images of
    subject 2.
    """
    home = tmp_path_factory.mktemp("done")
    first = weights_on(range(4))
    write_subjects(
        home / "data",
        {"subj01": first, "subj02": first, "subj03": weights_on(range(4, 8))},
        {
            "subj01": (range(100), range(200, 240)),
            "subj02": (range(1000, 1100), range(95, 135)),
            "subj03": (range(2000, 2100), range(200, 240)),
        },
    )
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        lab = TransferLab.open(home)
        rois = [lab.roi(subject) for subject in (1, 2, 3)]
        models = [lab.trial(QUICK, roi) for roi in rois]
        for trial in (*models, *(lab.trial(Untuned(), roi) for roi in rois)):
            lab.run(trial)
        for one in evaluations(
            models, [rois[0], rois[2]], is_transfer, exclude_training_images=False
        ):
            lab.run(one)
        yield home
    torch.set_num_threads(before)


@pytest.fixture
def home(done, monkeypatch) -> Path:
    """Work where the sweep has left its files."""
    monkeypatch.chdir(done)
    monkeypatch.setenv("COLUMNS", "120")
    return done


def contents(directory: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(directory.rglob("*"))}


def refusal(arguments: list[str], home: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must be refused; return its one line."""
    before = contents(home)
    assert evaluate.main(arguments) == 2
    assert contents(home) == before
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert shown.count("\n") == 1, shown
    return shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["transfer", "--data", "nowhere"], "nowhere: no ingested subject found"),
        (
            ["transfer", "--out", "nowhere"],
            "nowhere: holds no finished fine-tuned trial; run python -m",
        ),
        (["transfer", "--methods", "guess"], "--methods: unknown 'guess'; expected of contrastive"),
        (
            ["transfer", "--methods", "contrastive"],
            "no finished contrastive trial among",
        ),
        (["transfer", "--subjects", "7"], "subjects: 7 not in the data"),
        (
            ["transfer", "--model-subjects", "7"],
            "--model-subjects 7: no model is fine-tuned on these",
        ),
        (["transfer", "--hemispheres", "left"], "--hemispheres 'left': expected lh, rh or lh,rh"),
        (["transfer", "--rois", "V9"], "rois: unknown 'V9'"),
        (["transfer", "--rois", "EBA"], "nothing to evaluate: no chosen ROI has a model of one"),
        (["transfer", "--retries", "-1"], "--retries -1: expected 0 or more"),
        (["nod"], "data: holds no subject of NOD; ingest it first"),
        (["pooled"], "no finished pooled-avg or pooled-const trial among the models, which are"),
        (["rois", "--models", "absent"], "--models absent: no such model; there are regression"),
        (
            [*OWN_ROI, "--hemispheres", "lh"],
            "nothing to evaluate: the chosen models score these ROIs in their own trials",
        ),
    ],
)
def test_a_command_that_cannot_be_meant_is_refused_in_one_line(
    home, capsys, arguments, message
) -> None:
    assert message in refusal(arguments, home, capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "evaluate: expected a command: transfer, nod, pooled, rois;"),
        (["guess"], 'Unknown command "guess"'),
        (["rois"], "parameter --models requires an argument"),
        (["transfer", "--gpus-per-trial", "1.5"], "expected 0, a share below 1, or whole GPUs"),
        (["transfer", "--model-subjects", "1-"], "expected numbers and ranges"),
        (["transfer", "--weights", "w.pt"], "Unknown option: --weights"),
        (["transfer", "--keep-every-epoch"], "Unknown option: --keep-every-epoch"),
    ],
)
def test_a_flag_that_cannot_be_read_is_refused_in_one_line(
    home, capsys, arguments, message
) -> None:
    assert evaluate.main(arguments) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


def test_a_damaged_outcome_is_refused_by_name(home, tmp_path, monkeypatch, capsys) -> None:
    shutil.copytree(home / "data", tmp_path / "data")
    shutil.copytree(home / "runs" / "trials", tmp_path / "runs" / "trials")
    monkeypatch.chdir(tmp_path)
    path = next((tmp_path / "runs" / "trials").iterdir())
    path.write_text("{")
    assert f"{path.name}: " in refusal(["transfer"], tmp_path, capsys)


def test_models_of_data_ingested_anew_are_refused(home, tmp_path, monkeypatch, capsys) -> None:
    shutil.copytree(home / "runs" / "trials", tmp_path / "runs" / "trials")
    own = weights_on(range(4))
    write_subjects(tmp_path / "data", {"subj01": own}, {"subj01": (range(40), range(40, 60))})
    monkeypatch.chdir(tmp_path)
    shown = refusal(["transfer"], tmp_path, capsys)
    assert (
        "none of its 3 fine-tuned trials was fine-tuned on the data that is given; give --data"
        in shown
    )


def test_a_dry_run_counts_pairs_what_is_done_and_what_was_seen(home, capsys) -> None:
    before = contents(home)
    assert evaluate.main(["transfer", "--dry-run", "--max-concurrent", "1"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "6 evaluations: 4 done, 2 to run; about" in shown
    assert "6 pairs of a model and an ROI: 4 done" in shown
    assert "1 of 6 pairs have test images that the model was trained on, at most 5 of 40" in shown
    assert contents(home) == before


def test_a_dry_run_without_what_was_seen_plans_scores_of_their_own(home, capsys) -> None:
    assert (
        evaluate.main(["transfer", "--dry-run", "--exclude-training-images", "--subjects", "2"])
        == 0
    )
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 evaluations: 0 done, 2 to run" in shown
    assert "transfer-regression-no-overlap" in shown
    assert "r leaves these out" in shown


def test_a_dry_run_onto_nod_plans_the_untuned_baseline_too(
    home, tmp_path, monkeypatch, capsys
) -> None:
    for name in ("data", "runs"):
        shutil.copytree(home / name, tmp_path / name)
    stimuli = {"sub-01": (range(5000, 5040), range(5040, 5060))}
    write_subjects(tmp_path / "data", {"sub-01": weights_on(range(4))}, stimuli, "nod", NOD_ROIS)
    monkeypatch.chdir(tmp_path)
    missing = refusal(["nod", "--dry-run"], tmp_path, capsys)
    assert "come from a file, found none; give --weights" in missing
    weights = str(home / "weights.pt")
    assert evaluate.main(["nod", "--dry-run", "--weights", weights]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "2 evaluations: 0 done, 2 to run" in shown
    assert "nod-regression" in shown
    assert "untuned" in shown
    assert "no model was trained on a test image" in shown


def test_help_shows_every_kind_and_flag(capsys) -> None:
    for arguments, wanted in (
        (["--help"], ("transfer", "nod", "pooled", "rois")),
        (
            ["rois", "--help"],
            ("--models", "--exclude-training-images", "--rois", "--dry-run", "--retries"),
        ),
    ):
        assert evaluate.main(arguments) == 0
        shown = capsys.readouterr().out
        assert [word for word in wanted if word not in shown] == []


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
    assert len(found["untuned"]) == 3
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
    assert "subject: transfer-regression (on 1 of 5 ROIs, at most 5); these r leak, and" in shown
    assert (
        "so r is of fewer images: transfer-regression-no-overlap (on 1 of 1 ROIs, at most 5)"
        in shown
    )
    assert "leak" not in shown_scores(capsys)  # which leaves the leaking method out


def test_two_seeds_of_a_model_count_as_several_trials_of_it(
    home, tmp_path, capsys, monkeypatch
) -> None:
    for name in ("data", "runs"):
        shutil.copytree(home / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    lab = TransferLab.open(tmp_path)
    model = replace(lab.trial(QUICK, lab.roi(1)), seed=1)
    lab.run(model)
    [again] = evaluations([model], [lab.roi(3)], is_any, exclude_training_images=False)
    lab.run(again)
    started = json.loads(RunDirectory(lab.runs).outcome_file(again.id).read_text())["started"]
    assert started > 0
    shown = " ".join(shown_scores(capsys, "--by", "model").split())
    assert "transfer-regression: several trials on 1 of its ROIs, the last started" in shown
