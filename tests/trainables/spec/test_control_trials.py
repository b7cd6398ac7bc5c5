"""Controls as trials: what their ids depend on, what they are trained on, and what is refused."""

from dataclasses import replace

import pytest

from tests.builders.known_trials import OTHER, ROI, TRIAL, TWIN
from trainables.spec import Contrastive, Pooled, Regression, SelfSupervised, Trial, Untuned
from trainables.spec.evaluation import Evaluation

PERMUTED = replace(TRIAL, permuted=True)
CROSS = replace(TRIAL, tuned_on=OTHER)
IMAGES = Trial(SelfSupervised(), (ROI,))


def test_each_control_has_ids_and_a_method_of_its_own() -> None:
    trials = (TRIAL, PERMUTED, CROSS, IMAGES)
    assert len({trial.id for trial in trials}) == len(trials)
    assert len({trial.training_id for trial in trials}) == len(trials)
    methods = ["contrastive", "permuted-contrastive", "cross-roi-contrastive", "simclr"]
    assert [trial.method for trial in trials] == methods
    assert all(trial.id.startswith(f"{trial.method}-nsd-subj01") for trial in trials)


@pytest.mark.parametrize("trial", [TRIAL, PERMUTED, CROSS, IMAGES], ids=lambda one: one.method)
def test_a_control_is_read_back_from_its_json(trial) -> None:
    again = Trial.from_json(trial.to_json())
    assert again == trial
    assert (again.id, again.training_id) == (trial.id, trial.training_id)


def test_a_trial_tuned_on_another_roi_has_the_checkpoint_of_that_rois_own_trial() -> None:
    own = Trial(Contrastive(), (OTHER,))
    assert CROSS.training_id == own.training_id
    assert CROSS.id != own.id
    assert CROSS.trained_on == OTHER.id
    elsewhere = replace(ROI, name="V1d")
    assert replace(CROSS, rois=(elsewhere,)).id != CROSS.id
    assert replace(CROSS, rois=(elsewhere,)).training_id == CROSS.training_id


def test_a_backbone_tuned_on_images_alone_is_one_for_all_rois_of_a_subject() -> None:
    assert {Trial(SelfSupervised(), rois).id for rois in ((ROI,), (OTHER,), (ROI, OTHER))} == {
        IMAGES.id
    }
    assert IMAGES.is_of_subject
    assert IMAGES.trained_on is None
    assert replace(IMAGES, seed=1).training_id != IMAGES.training_id
    assert Trial(SelfSupervised(), (TWIN,)).training_id != IMAGES.training_id


def test_only_trials_tuned_on_their_own_rois_are_models_of_them() -> None:
    pooled = Trial(Pooled(), (ROI, TWIN))
    assert all(one.is_of_own_rois for one in (TRIAL, PERMUTED, pooled))
    others = (CROSS, IMAGES, Trial(Untuned(), (ROI,)))
    assert not any(one.is_of_own_rois for one in others)
    for one in others:
        with pytest.raises(ValueError, match="expected a fine-tuned trial, on its own ROIs'"):
            Evaluation(one, (TWIN,))


@pytest.mark.parametrize(
    ("objective", "changes", "message"),
    [
        (Untuned(), {"permuted": True}, "fine-tuned on one ROI, found untuned"),
        (SelfSupervised(), {"permuted": True}, "fine-tuned on one ROI, found simclr"),
        (SelfSupervised(), {"tuned_on": OTHER}, "fine-tuned on one ROI, found simclr"),
        (Regression(), {"permuted": True, "tuned_on": OTHER}, "found both"),
        (Contrastive(), {"tuned_on": ROI}, "expected another ROI of nsd-subj01, found nsd-subj01"),
        (Contrastive(), {"tuned_on": TWIN}, "expected another ROI of nsd-subj01, found nsd-subj02"),
        (
            Contrastive(),
            {"tuned_on": replace(OTHER, data="89ab0123")},
            "expected another ROI of nsd-subj01",
        ),
        (Contrastive(), {"tuned_on": OTHER, "encoding": None}, "needs an encoding"),
    ],
)
def test_a_control_that_can_not_be_is_refused(objective, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        Trial(objective, (ROI,), **changes)
