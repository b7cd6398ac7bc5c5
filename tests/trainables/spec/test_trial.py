"""A trial's two ids: what changes them, and what does not."""

import json
from dataclasses import replace

import pytest

from tests.builders.known_trials import OTHER, ROI, TRIAL, TWIN
from trainables.spec import (
    LARGEST_ROI,
    Backbone,
    Contrastive,
    Encoding,
    Pooled,
    Regression,
    Trial,
    Untuned,
    digest,
)

POOLED = Trial(Pooled(), (ROI, TWIN))


def test_a_known_trial_has_its_golden_ids() -> None:
    assert TRIAL.id == "contrastive-nsd-subj01-lh-V1v-6d674efb"
    assert TRIAL.training_id == "contrastive-nsd-subj01-lh-V1v-319be6ef"
    assert Trial(Untuned(), (ROI,)).id == "untuned-nsd-subj01-fe66b961"


def test_a_known_pooled_trial_has_its_golden_ids() -> None:
    assert POOLED.id == "pooled-avg-nsd-lh-V1v-6bd25d43"
    assert POOLED.training_id == "pooled-avg-nsd-lh-V1v-7456348c"
    constant = replace(POOLED, objective=Pooled(hidden_dim=LARGEST_ROI))
    assert constant.id == "pooled-const-nsd-lh-V1v-787ac479"


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


def test_an_equal_trial_made_anew_has_the_same_id() -> None:
    again = Trial(Contrastive(temperature=0.3, epochs=30), (replace(ROI),), Backbone(), Encoding())
    assert (again.id, again.training_id) == (TRIAL.id, TRIAL.training_id)


def test_an_untuned_id_does_not_depend_on_the_rois() -> None:
    ids = {Trial(Untuned(), rois).id for rois in ((ROI,), (OTHER,), (ROI, OTHER))}
    assert len(ids) == 1


def test_an_untuned_id_does_not_depend_on_the_seed() -> None:
    assert Trial(Untuned(), (ROI,), seed=1).id == Trial(Untuned(), (ROI,)).id


def test_an_untuned_id_depends_on_the_subject() -> None:
    other = replace(ROI, subject="subj02")
    assert Trial(Untuned(), (ROI,)).id != Trial(Untuned(), (other,)).id


@pytest.mark.parametrize(
    "encoding",
    [
        Encoding(protocols=("paper",)),
        Encoding(layers=("features.2",)),
        Encoding(n_components=10),
        Encoding(alphas=(1.0,)),
        Encoding(n_folds=3),
    ],
)
def test_encoding_settings_change_the_id_but_not_the_training_id(encoding) -> None:
    other = replace(TRIAL, encoding=encoding)
    assert other.training_id == TRIAL.training_id
    assert other.id != TRIAL.id


@pytest.mark.parametrize(
    "other",
    [
        replace(TRIAL, objective=Contrastive(learning_rate=2e-4)),
        replace(TRIAL, objective=Contrastive(batch_size=512)),
        replace(TRIAL, objective=Contrastive(epochs=31)),
        replace(TRIAL, objective=Contrastive(temperature=0.1)),
        replace(TRIAL, objective=Contrastive(tune="from:features.6")),
        replace(TRIAL, objective=Contrastive(tune="lora:8")),
        replace(TRIAL, objective=Contrastive(temperature="learned")),
        replace(TRIAL, objective=Contrastive(direction="both")),
        replace(TRIAL, objective=Contrastive(memory=1024)),
        replace(TRIAL, objective=Contrastive(hidden_ratio=0.5)),
        replace(TRIAL, objective=Contrastive(embedding_ratio=0.5)),
        replace(TRIAL, objective=Contrastive(validation=0.1)),
        replace(TRIAL, objective=Regression()),
        replace(TRIAL, seed=1),
        replace(TRIAL, backbone=Backbone("resnet18")),
        replace(TRIAL, backbone=Backbone(weights="sha256:0123456789abcdef")),
        replace(TRIAL, rois=(replace(ROI, data="ffffffff"),)),
        replace(TRIAL, rois=(replace(ROI, hemisphere="rh"),)),
        replace(TRIAL, rois=(replace(ROI, dataset="nod"),)),
    ],
)
def test_what_changes_the_weights_changes_both_ids(other) -> None:
    assert other.training_id != TRIAL.training_id
    assert other.id != TRIAL.id


@pytest.mark.parametrize(
    "other",
    [
        *(
            replace(POOLED, objective=replace(Pooled(), **change))
            for change in (
                {"order": "interleaved"},
                {"hidden_dim": LARGEST_ROI},
                {"temperature": 0.1},
                {"tune": "lora:8"},
                {"learning_rate": 2e-4},
                {"batch_size": 512},
                {"epochs": 31},
                {"validation": 0.1},
            )
        ),
        replace(POOLED, seed=1),
        replace(POOLED, rois=(TWIN, ROI)),
        replace(POOLED, rois=(ROI, replace(TWIN, subject="subj03"))),
        replace(POOLED, rois=(ROI, replace(TWIN, data="ffffffff"))),
        replace(POOLED, rois=(ROI, TWIN, replace(TWIN, subject="subj03"))),
    ],
)
def test_what_changes_pooled_weights_changes_both_ids(other) -> None:
    assert other.training_id != POOLED.training_id
    assert other.id != POOLED.id
    assert Trial.from_json(other.to_json()) == other


def test_a_pooled_trial_names_its_method_and_the_subjects_it_needs() -> None:
    assert POOLED.method == "pooled-avg"
    assert replace(POOLED, objective=Pooled(hidden_dim=64)).method == "pooled-const"
    assert POOLED.shards == ("nsd-subj01", "nsd-subj02")
    assert TRIAL.shards == ("nsd-subj01",)


def test_a_pooled_method_with_the_settings_of_the_other_is_refused() -> None:
    content = json.loads(POOLED.to_json())
    content["objective"]["method"] = "pooled-const"
    with pytest.raises(ValueError, match="objective: method: expected 'pooled-avg' from the other"):
        Trial.from_json(json.dumps(content))


def test_a_precision_other_than_float32_has_ids_of_its_own() -> None:
    trial = Trial(Contrastive(), (ROI,))
    half = trial.in_precision("bfloat16")
    assert trial.in_precision("float32").id == trial.id
    assert half.id != trial.id
    assert half.training_id != trial.training_id
    assert Trial.from_json(half.to_json()) == half
    older = json.loads(trial.to_json())
    assert older.pop("precision") == "float32"  # what has been recorded before there was a choice
    assert Trial.from_json(json.dumps(older)) == trial


def test_an_untuned_trial_has_no_precision() -> None:
    untuned = Trial(Untuned(), (ROI,))
    assert untuned.in_precision("bfloat16") is untuned
    with pytest.raises(ValueError, match="an untuned trial is of float32, found bfloat16"):
        replace(untuned, precision="bfloat16")
    with pytest.raises(
        ValueError, match=r"Trial.precision: expected 'float32' or 'bfloat16', found 'float16'"
    ):
        Trial(Contrastive(), (ROI,), precision="float16")


def test_a_trial_is_repeated_with_its_own_seed_and_the_next() -> None:
    trial = Trial(Contrastive(), (ROI,), seed=4)
    again = trial.repeated(seeds=3)
    assert [one.seed for one in again] == [4, 5, 6]
    assert {replace(one, seed=4) for one in again} == {trial}
    assert len({one.id for one in again} | {one.training_id for one in again}) == 6
    assert Trial(Untuned(), (ROI,)).repeated(seeds=3) == (Trial(Untuned(), (ROI,)),)


def test_a_deterministic_trial_has_ids_of_its_own_and_is_of_float32() -> None:
    for trial in (Trial(Contrastive(), (ROI,)), Trial(Untuned(), (ROI,))):
        deterministic = trial.as_deterministic()
        assert deterministic.id != trial.id
        assert deterministic.training_id != trial.training_id
        assert Trial.from_json(deterministic.to_json()) == deterministic
    half = Trial(Contrastive(), (ROI,)).in_precision("bfloat16")
    assert half.as_deterministic() == Trial(Contrastive(), (ROI,)).as_deterministic()
    with pytest.raises(ValueError, match="a deterministic trial is of float32, found bfloat16"):
        replace(half, deterministic=True)


def test_rois_to_score_can_be_replaced_without_changing_an_untuned_trial() -> None:
    trial = Trial(Untuned(), (ROI,))
    assert trial.scoring([OTHER]).rois == (OTHER,)
    assert trial.scoring([OTHER]).id == trial.id
