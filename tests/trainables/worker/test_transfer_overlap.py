"""Images that a model was trained on: counted, excluded, and too many."""

import shutil
from dataclasses import replace
from math import floor

import pytest
import torch

from tests.builders.transfer_lab import QUICK
from tests.builders.transfer_shards import (
    ENCODING,
    POOLED,
    TransferLab,
    only,
    weights_on,
    write_subjects,
)
from trainables.data.data_directory import DataDirectory
from trainables.data.images import ResidentImages
from trainables.data.stimuli import KnownStimuli, Stimuli
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_score_file
from trainables.spec import Untuned
from trainables.spec.evaluation import Evaluation
from trainables.training.batches import TrainingData

pytestmark = pytest.mark.usefixtures("narrow_without_ray")


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
    known = KnownStimuli(DataDirectory(lab.home / "data"))
    assert known.overlap(model, lab.roi(2)).n_test == len(seen) == 0
    assert known.overlap(replace(model, objective=QUICK), lab.roi(2)).n_test == 20


def test_stimuli_are_read_with_their_split_in_its_order(lab) -> None:
    stimuli = Stimuli.read(lab.home / "data" / "nsd-subj02")
    assert stimuli.names[stimuli.train][:2].tolist() == ["nsd-01000", "nsd-01001"]
    assert stimuli.names[stimuli.test][-1] == "nsd-00179"
    assert sorted([*stimuli.train, *stimuli.test]) == list(range(200))


def test_a_model_of_data_that_is_gone_is_refused(lab, quick) -> None:
    stale = replace(quick, rois=(replace(quick.rois[0], data="00000000"),))
    with pytest.raises(ValueError, match=r"subj01: the data 00000000 .*images are unknown"):
        KnownStimuli(DataDirectory(lab.home / "data")).overlap(stale, lab.roi(2))
