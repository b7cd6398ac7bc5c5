"""Backbones of checkpoints on other subjects: planted transfer, leaks counted, one pass per
subject."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from math import floor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from orchestrator.evaluate.pairs import evaluations, is_any, is_transfer
from orchestrator.execution.cost import Costs
from orchestrator.execution.plan import make_plan
from tests.builders.transfer_shards import (
    CONTRASTIVE,
    ENCODING,
    NOD_ROIS,
    POOLED,
    REGRESSION,
    Quiet,
    TransferLab,
    mean_r,
    narrow_backbone,
    only,
    weights_on,
    write_subjects,
)
from trainables.data import loading
from trainables.data.images import ResidentImages
from trainables.data.rows import read_rows
from trainables.data.stimuli import KnownStimuli, Stimuli
from trainables.models import backbones
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import TRIAL_KEY, read_score_file
from trainables.spec import Trial, Untuned
from trainables.spec.evaluation import Evaluation
from trainables.storage.atomic import hash_file
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import LAST
from trainables.worker import score_subject

OBJECTIVES = (REGRESSION, CONTRASTIVE)
QUICK = replace(REGRESSION, epochs=1)


@pytest.fixture(autouse=True, scope="module")
def without_ray() -> Iterator[None]:
    before = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "stream", read_rows)
        patch.setitem(backbones.OWN_ARCHITECTURES, "narrow", narrow_backbone)
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> TransferLab:
    """Subject 2's weights are subject 1's; subject 3's are on the other patterns.

    Of each one's 50 test images, subject 1 was trained on 20 of subject 2's and none of 3's.
    """
    home = tmp_path_factory.mktemp("transfer")
    first, other = range(4), range(4, 8)
    write_subjects(
        home / "data",
        {"subj01": weights_on(first), "subj02": weights_on(first), "subj03": weights_on(other)},
        {
            "subj01": (range(150), range(200, 250)),
            "subj02": (range(1000, 1150), range(130, 180)),
            "subj03": (range(2000, 2150), range(200, 250)),
        },
    )
    return TransferLab.open(home)


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.method)
def test_a_subject_of_identical_weights_transfers_without_loss(lab, objective) -> None:
    model = lab.trial(objective, lab.roi(1))
    lab.run(model)
    target = lab.roi(2)
    own = mean_r(lab.run(lab.trial(objective, target)))
    untuned = mean_r(lab.run(lab.trial(Untuned(), target)))
    transferred = mean_r(lab.run(Evaluation(model, (target,), exclude_training_images=True)))
    assert own > untuned + 0.2
    assert transferred > own - 0.02


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: one.method)
def test_a_subject_of_orthogonal_weights_does_not(lab, objective) -> None:
    model = lab.trial(objective, lab.roi(1))
    lab.run(model)
    target = lab.roi(3)
    own = mean_r(lab.run(lab.trial(objective, target)))
    untuned = mean_r(lab.run(lab.trial(Untuned(), target)))
    transferred = mean_r(lab.run(Evaluation(model, (target,))))
    assert transferred < untuned - 0.3 < own - 0.3


@pytest.fixture(scope="module")
def quick(lab) -> Trial:
    """A model of subject 1 that is trained for an epoch."""
    model = lab.trial(QUICK, lab.roi(1))
    lab.run(model)
    return model


def test_scores_name_the_model_the_target_and_what_was_seen(lab, quick) -> None:
    evaluation = Evaluation(quick, (lab.roi(2), lab.roi(2, "EBA", "rh")))
    scores = lab.run(evaluation)
    assert set(scores["trial_id"].to_pylist()) == {evaluation.id}
    by_roi = dict(zip(scores["roi"].to_pylist(), scores["method"].to_pylist(), strict=True))
    assert by_roi == {"V1v": "transfer-regression", "EBA": "other-region-regression"}
    assert only(scores, "trained_on") == "nsd-subj01-lh-V1v"
    counts = {name: only(scores, name) for name in ("n_overlap", "n_excluded", "n_test")}
    assert counts == {"n_overlap": 20, "n_excluded": 0, "n_test": 50}
    path = RunDirectory(lab.runs).score_file(evaluation.id, lab.roi(2).id)
    read_score_file(path)
    outcome = Outcome.read(RunDirectory(lab.runs), evaluation.id)
    assert outcome is not None
    assert outcome.trial == evaluation
    assert set(outcome.seconds) == {"reading", "features", "encoding"}


def test_an_evaluation_of_the_model_s_own_backbone_repeats_the_trial_s_scores(lab, quick) -> None:
    """The backbone that is read from the checkpoint is the one that the trial has scored."""
    neighbour = lab.roi(1, "V2d")  # shares four vertices with V1v
    scores = lab.run(Evaluation(quick, (neighbour,)))
    own = lab.run(quick)
    both = {4, 5, 6, 7}

    def shared(table) -> list[float]:
        rows = [row for row in table.to_pylist() if row["vertex"] in both]
        return [row["r"] for row in sorted(rows, key=lambda row: (row["protocol"], row["vertex"]))]

    assert len(shared(own)) == 8
    assert shared(scores) == pytest.approx(shared(own), abs=1e-6)


def test_untuned_trials_and_own_rois_have_seen_no_test_image(lab, quick) -> None:
    untuned = lab.run(lab.trial(Untuned(), lab.roi(2)))
    assert (only(untuned, "n_overlap"), only(untuned, "trained_on")) == (0, None)
    own = lab.run(quick)
    assert (only(own, "n_overlap"), only(own, "trained_on")) == (0, "nsd-subj01-lh-V1v")


def test_images_are_seen_by_their_stimulus_and_none_under_a_split_by_stimulus(lab, quick) -> None:
    assert only(lab.run(Evaluation(quick, (lab.roi(2),))), "n_overlap") == 20
    # Subjects 1 and 3 were shown the same test images, and neither was trained on one.
    assert only(lab.run(Evaluation(quick, (lab.roi(3),))), "n_overlap") == 0


def test_a_pooled_trial_counts_the_test_images_of_one_subject_that_another_trained_on(lab) -> None:
    scores = lab.run(lab.trial(POOLED, lab.roi(1), lab.roi(2)))
    seen = dict(zip(scores["subject"].to_pylist(), scores["n_overlap"].to_pylist(), strict=True))
    assert seen == {"subj01": 0, "subj02": 20}
    assert only(scores, "trained_on") == "nsd-subj01-lh-V1v nsd-subj02-lh-V1v"


def test_a_pooled_model_is_scored_on_a_subject_outside_its_pool(lab) -> None:
    model = lab.trial(POOLED, lab.roi(1), lab.roi(2))
    lab.run(model)
    scores = lab.run(Evaluation(model, (lab.roi(3),)))
    assert only(scores, "method") == "transfer-pooled-avg"
    own = lab.run(Evaluation(model, (lab.roi(2),), exclude_training_images=True))
    assert (only(own, "method"), only(own, "n_excluded")) == ("pooled-avg-no-overlap", 20)


def test_dropping_what_was_seen_measures_r_on_the_other_images(lab, quick) -> None:
    everything = ("nested", "paper", "released")
    model = replace(quick, encoding=replace(ENCODING, protocols=everything))
    scores = lab.run(Evaluation(model, (lab.roi(2),), exclude_training_images=True))
    assert {name: only(scores, "n_excluded", name) for name in everything} == {
        "nested": 20,
        "paper": 20,
        "released": 0,
    }
    assert {name: only(scores, "n_test", name) for name in everything} == {
        "nested": 30,
        "paper": 30,  # five folds of six
        "released": 150,
    }
    assert only(scores, "n_overlap") == 20


def test_released_drops_the_training_images_that_the_backbone_was_trained_on(tmp_path) -> None:
    write_subjects(
        tmp_path / "data",
        {"subj01": weights_on(range(4)), "subj02": weights_on(range(4), seed=1)},
        {
            "subj01": (range(60), range(60, 80)),
            "subj02": (range(40, 100), range(100, 120)),  # 40 to 59 trained both
        },
    )
    lab = TransferLab.open(tmp_path)
    encoding = replace(ENCODING, protocols=("nested", "released"))
    model = lab.trial(QUICK, lab.roi(1), encoding=encoding)
    lab.run(model)
    scores = lab.run(Evaluation(model, (lab.roi(2),), exclude_training_images=True))
    assert only(scores, "n_overlap") == 0
    assert (only(scores, "n_excluded"), only(scores, "n_test")) == (0, 20)
    assert (only(scores, "n_excluded", "released"), only(scores, "n_test", "released")) == (20, 40)


def test_r_without_seen_images_equals_r_of_a_subject_that_never_had_them(lab, tmp_path) -> None:
    model = lab.trial(QUICK, lab.roi(1))
    lab.run(model)
    dropped = lab.run(Evaluation(model, (lab.roi(2),), exclude_training_images=True))
    stimuli = {
        "subj01": (range(150), range(200, 250)),
        "subj02": (range(1000, 1150), range(150, 180)),
    }
    write_subjects(
        tmp_path / "data",
        {"subj01": weights_on(range(4)), "subj02": weights_on(range(4))},
        stimuli,
    )
    other = TransferLab.open(tmp_path)
    shutil.copytree(lab.runs / "checkpoints", other.runs / "checkpoints")
    never = other.run(Evaluation(other.trial(QUICK, other.roi(1)), (other.roi(2),)))
    assert only(never, "n_overlap") == 0
    assert dropped["r"].to_pylist() == pytest.approx(never["r"].to_pylist(), abs=1e-5)


def test_too_few_images_left_are_refused_with_the_cure(tmp_path) -> None:
    write_subjects(
        tmp_path / "data",
        {"subj01": weights_on(range(4)), "subj02": weights_on(range(4))},
        {"subj01": (range(60), range(60, 80)), "subj02": (range(100, 160), range(40, 62))},
    )
    lab = TransferLab.open(tmp_path)
    model = lab.trial(QUICK, lab.roi(1))
    lab.run(model)
    with pytest.raises(
        ValueError, match=r"trained on 20 of 22 test images, which leaves 2 .*--split"
    ):
        lab.run(Evaluation(model, (lab.roi(2),), exclude_training_images=True))


def test_images_held_back_for_validation_were_not_trained_on(lab) -> None:
    share = 0.17
    model = lab.trial(replace(QUICK, validation=share), lab.roi(1))
    rows = torch.arange(150)
    data = TrainingData(ResidentImages(torch.zeros(150, 3, 1, 1)), torch.zeros(150, 2), rows)
    trained, held_back = data.held_back(share)
    assert len(held_back) == floor(share * 150) == 25
    seen = set(trained.tolist()) & set(range(130, 180))  # the test stimuli of subject 2
    known = KnownStimuli(lab.home / "data")
    assert known.overlap(model, lab.roi(2)).n_test == len(seen) == 0
    assert known.overlap(replace(model, objective=QUICK), lab.roi(2)).n_test == 20


def test_stimuli_are_read_with_their_split_in_its_order(lab) -> None:
    stimuli = Stimuli.read(lab.home / "data" / "nsd-subj02")
    assert stimuli.names[stimuli.train][:2].tolist() == ["nsd-01000", "nsd-01001"]
    assert stimuli.names[stimuli.test][-1] == "nsd-00179"
    assert sorted([*stimuli.train, *stimuli.test]) == list(range(200))


def test_a_model_of_data_that_is_gone_is_refused(lab, quick) -> None:
    stale = replace(quick, rois=(replace(quick.rois[0], data="00000000"),))
    with pytest.raises(ValueError, match=r"nsd-subj01: the data 00000000 .*can't be known"):
        KnownStimuli(lab.home / "data").overlap(stale, lab.roi(2))


@pytest.fixture
def passes(monkeypatch) -> list[int]:
    """Count the passes of a backbone over images, by the number of images."""
    counted: list[int] = []
    extract = score_subject.extract

    def counting(*arguments):
        counted.append(arguments[3])
        return extract(*arguments)

    monkeypatch.setattr(score_subject, "extract", counting)
    return counted


def test_an_all_pairs_transfer_does_one_pass_a_backbone_and_target_subject(lab, passes) -> None:
    regions = [("V1v", "lh"), ("V2d", "lh"), ("EBA", "rh")]
    rois = [lab.roi(s, roi_name, side) for s in (1, 2, 3) for roi_name, side in regions]
    models = [lab.trial(QUICK, roi) for roi in rois]
    for model in models:
        lab.run(model)
    passes.clear()
    planned = evaluations(models, rois, is_transfer, exclude_training_images=False)
    ran = []
    for evaluation in planned:
        lab.run(evaluation)
        ran.append((evaluation.training_id, evaluation.shards[0]))
    wanted = {
        (model.training_id, f"nsd-subj0{target}")
        for source, target in permutations((1, 2, 3), 2)
        for model in models
        if model.rois[0].subject == f"subj0{source}"
    }
    assert len(ran) == len(passes) == len(wanted) == 3 * 2 * 3
    assert set(ran) == wanted
    assert set(passes) == {200}
    plan = make_plan(planned, RunDirectory(lab.runs), Costs.read(lab.home / "data", gpus=False))
    assert (plan.n_done, plan.waiting) == (18, ())


def test_all_rois_of_a_subject_share_one_pass(lab, quick, passes) -> None:
    rois = [roi for roi in lab.rois if roi.subject == "subj03"]
    [evaluation] = evaluations([quick], rois, is_any, exclude_training_images=False)
    scores = lab.run(evaluation)
    assert passes == [200]
    found = {row["hemisphere"] + row["roi"] for row in scores.to_pylist()}
    assert found == {"lhV1v", "lhV2d", "lhhV4", "rhV1v", "rhEBA"}


def test_only_the_rois_without_scores_are_planned_again(lab) -> None:
    model = lab.trial(QUICK, lab.roi(3))
    lab.run(model)
    rois = [roi for roi in lab.rois if roi.subject == "subj01"]
    [evaluation] = evaluations([model], rois, is_any, exclude_training_images=False)
    lab.run(evaluation.scoring(rois[:2]))
    costs = Costs.read(lab.home / "data", gpus=False)
    plan = make_plan([evaluation], RunDirectory(lab.runs), costs)
    assert [work.rois for work in plan.waiting] == [tuple(rois[2:])]
    lab.run(plan.waiting[0])
    assert make_plan([evaluation], RunDirectory(lab.runs), costs).waiting == ()


def copied(lab: TransferLab, quick: Trial, home: Path) -> tuple[TransferLab, Path, Evaluation]:
    """Copy the checkpoint of a model into a lab of its own, to be damaged."""
    shutil.copytree(lab.home / "data", home / "data")
    other = TransferLab.open(home)
    directory = other.runs / "checkpoints" / quick.training_id
    shutil.copytree(lab.runs / "checkpoints" / quick.training_id, directory)
    return other, directory, Evaluation(quick, (lab.roi(2),))


def test_a_missing_checkpoint_is_named_with_its_cure(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    shutil.rmtree(directory)
    with pytest.raises(
        ValueError, match=r"last\.json: no usable checkpoint \(no such file\); remove"
    ):
        other.run(evaluation)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_damaged_checkpoint_is_named_with_its_cure(lab, quick, tmp_path, content) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    (directory / LAST).write_text(content)
    with pytest.raises(ValueError, match=r"last\.json: no usable checkpoint .*run the sweep again"):
        other.run(evaluation)


def test_damaged_weights_are_named_with_their_cure(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    [weights] = directory.glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"no usable checkpoint .*run the sweep again"):
        other.run(evaluation)


def save_as_noted(weights: Path, state: dict[str, torch.Tensor]) -> None:
    """Save other weights as a training would have: its note knows their content."""
    save_file(state, weights)
    note = json.loads((weights.parent / LAST).read_text())
    note["sha256"][weights.name] = hash_file(weights)
    (weights.parent / LAST).write_text(json.dumps(note))


def test_a_checkpoint_without_a_backbone_or_of_another_one_is_refused(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    [weights] = directory.glob("*.safetensors")
    state = load_file(weights)
    save_as_noted(weights, {"readout.weight": torch.zeros(2)})
    with pytest.raises(ValueError, match="holds no weights of a backbone"):
        other.run(evaluation)
    save_as_noted(weights, {**state, "backbone.1.bias": torch.zeros(9)})
    with pytest.raises(ValueError, match=r"its backbone does not fit narrow: .*'1\.bias'"):
        other.run(evaluation)


def test_a_training_that_was_stopped_is_no_model(lab, quick, tmp_path) -> None:
    other, directory, evaluation = copied(lab, quick, tmp_path)
    note = (directory / LAST).read_text()
    (directory / LAST).write_text(note.replace('"optimizer": null', '"optimizer": "x"'))
    with pytest.raises(ValueError, match="its training is not complete"):
        other.run(evaluation)


def test_a_runner_serves_on_after_an_evaluation_that_failed(lab, quick) -> None:
    doomed = replace(quick, seed=99)
    with pytest.raises(ValueError, match="no usable checkpoint"):
        lab.run(Evaluation(doomed, (lab.roi(2),)))
    assert lab.runner.run(Evaluation(quick, (lab.roi(3),)), Quiet()).status == "finished"


def test_models_of_nsd_are_scored_on_nod_beside_untuned(lab, quick) -> None:
    if not (lab.home / "data" / "nod-sub-01").exists():
        write_subjects(
            lab.home / "data",
            {"sub-01": weights_on(range(4))},
            {"sub-01": (range(5000, 5150), range(5200, 5250))},
            dataset="nod",
            roi_names=NOD_ROIS,
        )
    roi = next(c for c in TransferLab.open(lab.home).rois if c.id == "nod-sub-01-lh-V1")
    scores = lab.run(Evaluation(quick, (roi,)))
    assert (only(scores, "method"), only(scores, "dataset")) == ("nod-regression", "nod")
    assert (only(scores, "subject"), only(scores, "n_overlap")) == ("sub-01", 0)
    assert np.isfinite(mean_r(scores))


def test_the_whole_evaluation_is_in_its_score_file(lab, quick) -> None:
    evaluation = Evaluation(quick, (lab.roi(3),))
    lab.run(evaluation)
    path = RunDirectory(lab.runs).score_file(evaluation.id, lab.roi(3).id)
    assert Evaluation.from_json(pq.read_schema(path).metadata[TRIAL_KEY].decode()) == evaluation
