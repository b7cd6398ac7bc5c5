"""Exported models predict as the sweep's, and are complete or absent."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from orchestrator.encoding_models import load_model
from orchestrator.encoding_models.card import write_card
from orchestrator.encoding_models.config import BACKBONE, CARD, CONFIG, PCA, ModelConfig
from tests.builders.exported_models import Swept
from trainables.encoding.refit import correlate_columns
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec.evaluation import WorkItem

CASES = (("untuned", "lh-V1v"), ("untuned", "rh-EBA"), ("tuned", "lh-V1v"))


def sweep_r(swept: Swept, trial: WorkItem, roi: str) -> np.ndarray:
    table = read_scores(RunDirectory(swept.home / "runs"), trial.id).to_pandas()
    side, name = roi.split("-")
    mine = (table["hemisphere"] == side) & (table["roi"] == name) & (table["protocol"] == "nested")
    return table[mine]["r"].to_numpy()


@pytest.mark.parametrize(("trial", "roi"), CASES)
def test_a_loaded_model_has_the_r_of_the_sweep(swept: Swept, trial: str, roi: str) -> None:
    model = load_model(swept.model(getattr(swept, trial), roi))
    predicted = model.predict(swept.test_images())
    assert predicted.dtype == np.float32
    measured = swept.responses(roi[:2], model.vertices["vertex"].to_numpy(np.int32))
    expected = sweep_r(swept, getattr(swept, trial), roi)
    np.testing.assert_allclose(correlate_columns(measured, predicted), expected, atol=1e-5)
    np.testing.assert_allclose(model.vertices["r"], expected, atol=0)


def test_an_evaluated_model_is_exported_for_the_subject_that_it_was_scored_on(
    swept: Swept, tmp_path: Path
) -> None:
    assert swept.export("--trials", swept.evaluation.id, "--out", str(tmp_path)) == 0
    [path] = tmp_path.iterdir()
    model = load_model(path)
    assert model.config.roi.subject == "subj02"
    measured = swept.responses("lh", model.vertices["vertex"].to_numpy(np.int32), "subj02")
    r = correlate_columns(measured, model.predict(swept.test_images("subj02")))
    np.testing.assert_allclose(r, sweep_r(swept, swept.evaluation, "lh-V1v"), atol=1e-5)
    card = (path / CARD).read_text(encoding="utf-8")
    assert "fine-tuned (regression) on nsd-subj01-lh-V1v" in card
    assert "was fine-tuned on 5 of the test images" in card


def test_predictions_are_in_the_units_of_the_responses(swept: Swept) -> None:
    """Scaled so that each vertex' measured responses are about as large as predicted ones."""
    model = load_model(swept.model(swept.tuned, "lh-V1v"))
    measured = swept.responses("lh", model.vertices["vertex"].to_numpy(np.int32))
    predicted = model.predict(swept.test_images())
    slopes = [np.polyfit(p, m, 1)[0] for p, m in zip(predicted.T, measured.T, strict=True)]
    assert 0.7 < np.mean(slopes) < 1.3
    assert np.square(measured - predicted).mean() < 0.5 * np.square(measured).mean()


def test_fitted_to_all_images_it_knows_the_test_images_too(swept: Swept, tmp_path: Path) -> None:
    arguments = ("--trials", swept.untuned.id, "--rois", "V1v", "--out", str(tmp_path))
    assert swept.export(*arguments, "--fit", "all") == 0
    [path] = tmp_path.iterdir()
    model = load_model(path)
    assert (model.config.fit, model.config.n_fitted) == ("all", 140)
    measured = swept.responses("lh", model.vertices["vertex"].to_numpy(np.int32))
    r = correlate_columns(measured, model.predict(swept.test_images()))
    assert r.mean() > sweep_r(swept, swept.untuned, "lh-V1v").mean() + 0.01
    np.testing.assert_allclose(model.vertices["r"], sweep_r(swept, swept.untuned, "lh-V1v"))
    assert "the test images too" in (path / CARD).read_text(encoding="utf-8")
    assert "n_trials" not in (path / CONFIG).read_text(encoding="utf-8")
    counted = replace(model.config, n_trials=300)
    assert "all 140 images (300 single trials), the test images too" in write_card(counted)
    (path / CONFIG).write_text(counted.to_json(), encoding="utf-8")
    assert ModelConfig.read(path).n_trials == 300


def test_shared_files_are_stored_once(swept: Swept) -> None:
    paths = [swept.model(swept.untuned, roi) for roi in ("lh-V1v", "rh-EBA")]
    for name in (BACKBONE, PCA):
        assert len({(path / name).stat().st_ino for path in paths}) == 1
    other = swept.model(swept.tuned, "lh-V1v")
    assert (other / BACKBONE).stat().st_ino != (paths[0] / BACKBONE).stat().st_ino


def test_a_later_export_shares_the_files_that_are_there(swept: Swept, tmp_path: Path) -> None:
    for roi in ("V1v", "EBA"):
        arguments = ("--trials", swept.untuned.id, "--rois", roi, "--out", str(tmp_path))
        assert swept.export(*arguments) == 0
    for name in (BACKBONE, PCA):
        assert len({path.stat().st_ino for path in tmp_path.glob(f"*/{name}")}) == 1


def test_the_best_model_of_each_roi_is_the_one_of_the_highest_r(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert swept.export("--best", "per-roi", "--out", str(tmp_path)) == 0
    found = {c.roi.id: c for c in (ModelConfig.read(path) for path in tmp_path.iterdir())}
    r = {t.method: sweep_r(swept, t, "lh-V1v").mean() for t in (swept.untuned, swept.tuned)}
    best = found["nsd-subj01-lh-V1v"]
    assert best.method == max(r, key=r.__getitem__)
    assert best.score.n_candidates == 2
    assert best.score.chosen_by == "test"  # the tuned backbone has seen the folds of nested
    assert "1 by r on the test images" in " ".join(capsys.readouterr().out.split())
    assert found["nsd-subj01-rh-EBA"].score.n_candidates == 1


def test_the_interval_holds_the_mean_and_is_of_the_width_of_a_bootstrap(swept: Swept) -> None:
    model = load_model(swept.model(swept.untuned, "lh-V1v"))
    measured = swept.responses("lh", model.vertices["vertex"].to_numpy(np.int32))
    predicted = model.predict(swept.test_images())
    rng = np.random.default_rng(0)
    draws = [rng.integers(0, 40, 40) for _ in range(400)]
    drawn = [correlate_columns(measured[d], predicted[d]).mean() for d in draws]
    score = model.config.score
    assert score.low is not None
    assert score.high is not None
    assert score.r_mean == pytest.approx((score.low + score.high) / 2, abs=1e-5)
    assert (score.high - score.low) / (4 * np.std(drawn)) == pytest.approx(1, abs=0.25)


def test_half_precision_is_half_as_large_and_changes_r_by_less_than_it_says(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--trials", swept.untuned.id, "--rois", "V1v", "--out", str(tmp_path), "--half")
    assert swept.export(*arguments) == 0
    assert "half precision changes r by" in capsys.readouterr().out
    [path] = tmp_path.iterdir()
    single = swept.model(swept.untuned, "lh-V1v")
    assert (path / PCA).stat().st_size < 0.52 * (single / PCA).stat().st_size
    weights = ModelConfig.read(path).weights
    assert weights.half
    measured = swept.responses("lh", load_model(path).vertices["vertex"].to_numpy(np.int32))
    images = swept.test_images()
    r = [correlate_columns(measured, load_model(one).predict(images)) for one in (path, single)]
    change = np.abs(r[0] - r[1]).max()
    assert 0 < change == pytest.approx(weights.half_change, rel=0.2)
    assert change < 1e-4


def test_the_same_command_leaves_what_is_there(
    swept: Swept, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in swept.models.rglob("*")}
    assert swept.export("--trials", swept.untuned.id, swept.tuned.id, "--out", "models") == 0
    assert "already there: 3 models" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in swept.models.rglob("*")} == before


def test_a_model_that_fails_leaves_nothing(
    swept: Swept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "README.md")

    monkeypatch.setattr("orchestrator.export.write.write_card", full)
    assert swept.export("--trials", swept.tuned.id, "--out", str(tmp_path)) == 2
    assert list(tmp_path.iterdir()) == []


def test_changed_scores_are_not_exported(
    swept: Swept,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A backbone with other weights than those that were scored."""
    from orchestrator.export import refit

    load = refit.load_network

    def changed(*arguments):
        network = load(*arguments)
        network[1].weight.data[0] += 0.01
        return network

    monkeypatch.setattr(refit, "load_network", changed)
    assert swept.export("--trials", swept.tuned.id, "--out", str(tmp_path)) == 2
    assert "r differs from its scores" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


REFUSED = {
    "both": (("--trials", "a", "--best", "per-roi"), "omit the other"),
    "unknown trial": (("--trials", "absent"), "no such trial; there are"),
    "unknown roi": (("--rois", "hV4"), "no nested scores of the chosen"),
    "unscored protocol": (("--protocol", "clean"), "no clean scores"),
    "another fit": (("--fit", "all"), "exported with --fit train"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_line(swept: Swept, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, message = REFUSED[case]
    before = sorted(swept.models.iterdir())
    assert swept.export(*arguments, "--out", "models") == 2
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert sorted(swept.models.iterdir()) == before


def test_the_card_is_one_that_the_hub_reads(swept: Swept) -> None:
    from huggingface_hub import ModelCard

    path = swept.model(swept.tuned, "lh-V1v")
    card = ModelCard((path / CARD).read_text(encoding="utf-8"))
    assert card.data.library_name == "cortex-sweep"
    assert "license" not in card.data.to_dict()
    config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    assert f"**{config['score']['r_mean']:.3f}**" in card.text
    assert "Simulated" not in card.text


CARDS = {
    "validation": "among 3 models by cross-validation within training images",
    "test": "among 3 models by this r, which is therefore slightly optimistic",
}


@pytest.mark.parametrize("chosen_by", CARDS)
def test_the_card_says_by_what_the_model_was_chosen(swept: Swept, chosen_by: str) -> None:
    config = ModelConfig.read(swept.model(swept.tuned, "lh-V1v"))
    score = replace(config.score, n_candidates=3, chosen_by=chosen_by)
    found = {text for text in CARDS.values() if text in write_card(replace(config, score=score))}
    assert found == {CARDS[chosen_by]}


def test_a_model_of_simulated_responses_says_so(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Path(shutil.copytree(swept.home, tmp_path / "home"))
    manifest = home / "data" / "nsd-subj01" / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**content, "is_simulated": True}), encoding="utf-8")
    simulated = replace(swept, home=home)
    assert simulated.export("--trials", swept.tuned.id, "--out", "other") == 0
    assert "(simulated data)" in capsys.readouterr().out
    [path] = (home / "other").iterdir()
    assert ModelConfig.read(path).is_simulated
    card = (path / CARD).read_text(encoding="utf-8")
    assert "- simulated-data\n" in card
    assert "> **Simulated data.**" in card


@pytest.mark.parametrize("layout", [[], ["--format", "brainscore"]], ids=["models", "plugins"])
def test_missing_weights_are_found_before_anything_is_written(
    swept: Swept, tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: list[str]
) -> None:
    """Of two trials, the one that needs no weights comes first."""
    trials = ["--trials", swept.tuned.id, swept.untuned.id]
    out = tmp_path / "out"
    code = swept.export(*trials, "--out", str(out), "--weights", "elsewhere.pt", *layout)
    assert code == 2
    assert "give --weights" in capsys.readouterr().err
    assert not out.exists()


def test_a_failed_export_leaves_no_directory(swept: Swept, tmp_path: Path, monkeypatch) -> None:
    """Where it was there before, it stays."""

    def fails(*_: object) -> None:
        raise ValueError("a damaged checkpoint; remove it")

    monkeypatch.setattr("orchestrator.export.refit.load_backbone", fails)
    new, old = tmp_path / "new", tmp_path / "old"
    old.mkdir()
    assert swept.export("--trials", swept.tuned.id, "--out", str(new)) == 2
    assert swept.export("--trials", swept.tuned.id, "--out", str(old)) == 2
    assert not new.exists()
    assert list(old.iterdir()) == []
