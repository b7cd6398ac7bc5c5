"""The command line of evaluate: its plan, and its refusals in one line and code 2."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.evaluate import __main__ as evaluate
from tests.builders.transfer_shards import (
    NOD_ROIS,
    weights_on,
    write_subjects,
)
from trainables.data.data_directory import MANIFEST
from trainables.data.shards import Manifest

OWN_ROI = ("rois", "--models", "regression-nsd-subj01", "--subjects", "1", "--rois", "V1v")


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
            "nowhere: has no finished fine-tuned trial; run python -m",
        ),
        (
            ["transfer", "--methods", "guess"],
            "--methods: unknown 'guess'; expected any of contrastive",
        ),
        (
            ["transfer", "--methods", "contrastive"],
            "no finished contrastive trial among",
        ),
        (["transfer", "--subjects", "7"], "--subjects: 7 not in the data"),
        (
            ["transfer", "--model-subjects", "7"],
            "--model-subjects 7: no model is fine-tuned on only these",
        ),
        (["transfer", "--hemispheres", "left"], "--hemispheres 'left': expected lh, rh or lh,rh"),
        (["transfer", "--rois", "V9"], "--rois: unknown 'V9'"),
        (["transfer", "--rois", "EBA"], "nothing to evaluate: no chosen ROI has a model of one"),
        (["transfer", "--retries", "-1"], "--retries '-1': expected an integer of 0 or more"),
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
        ([], "evaluate: expected a command: transfer, nod, pooled, rois, ood;"),
        (["guess"], 'Unknown command "guess"'),
        (["rois"], "parameter --models requires an argument"),
        (
            ["transfer", "--gpus-per-trial", "1.5"],
            "expected 0, a share below 1, or a whole number of GPUs",
        ),
        (["transfer", "--model-subjects", "1-"], "expected numbers and ranges"),
        (["transfer", "--weights", "w.pt"], "Unknown option: --weights"),
        (["transfer", "--keep", "none"], "Unknown option: --keep"),
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
    assert "none of its 3 fine-tuned trials was fine-tuned on the given data; give --data" in shown


def test_a_subject_without_the_size_that_the_models_were_tuned_on_is_refused(
    home, tmp_path, monkeypatch, capsys
) -> None:
    for name in ("data", "runs"):
        shutil.copytree(home / name, tmp_path / name)
    shard = tmp_path / "data" / "nsd-subj02"
    manifest = Manifest.read(shard)
    (shard / MANIFEST).write_text(replace(manifest, image_size=100).to_json())
    monkeypatch.chdir(tmp_path)
    cure = f"ingest again with --image-size 100,{manifest.image_size}"
    assert cure in refusal(["transfer", "--dry-run", "--subjects", "2"], tmp_path, capsys)


def test_models_whose_weights_were_not_kept_are_left_out(
    home, tmp_path, monkeypatch, capsys
) -> None:
    shutil.copytree(home / "runs" / "trials", tmp_path / "runs" / "trials")
    shutil.copytree(home / "runs" / "checkpoints", tmp_path / "runs" / "checkpoints")
    monkeypatch.chdir(tmp_path)
    arguments = ["transfer", "--dry-run", "--data", str(home / "data")]
    [first, *others] = sorted((tmp_path / "runs" / "checkpoints").iterdir())
    shutil.rmtree(first)
    assert evaluate.main(arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "4 evaluations: 0 done, 4 to run" in shown
    assert "left out: 1 model, as runs/checkpoints has no weights (swept" in shown
    for other in others:
        shutil.rmtree(other)
    assert "nothing to evaluate: chosen 3 models, and" in refusal(arguments, tmp_path, capsys)


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
