"""Settings: every field of a trial but its ROIs and its seed changes them."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final

import pytest

from tests.builders.known_trials import OTHER, ROI, TRIAL, TWIN
from trainables.spec import LARGEST_ROI, Pooled, Regression, SelfSupervised, Trial, Untuned
from trainables.spec.evaluation import Evaluation
from trainables.spec.setting import is_named, setting_of

POOL = Trial(Pooled(), (ROI, TWIN))
SIMCLR = Trial(SelfSupervised(), (ROI,))
TRIALS = (TRIAL, POOL, Trial(Regression(), (ROI,)), SIMCLR, Trial(Untuned(), (ROI,)))
OTHERS: Final[dict[str, Any]] = {
    "architecture": "vgg16",
    "weights": "sha256:0123",
    "pixels": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "image_size": 336,
    "crop": 224,
    "order": "interleaved",
    "direction": "both",
    "memory": 64,
    "tune": "lora:4",
    "precision": "bfloat16",
    "hidden_dim": LARGEST_ROI,
    "protocols": ("paper",),
    "layers": ("features.2",),
    "alphas": (1.0,),
    "deterministic": True,
    "validation": 0.2,
    "batch_size": 64,
    "epochs": 7,
    "n_components": 50,
    "n_folds": 3,
}
SPECIAL = ("precision", "permuted", "tuned_on", "source")
"""Fields that not every trial may have another value of."""


def _changed(record: Any) -> Iterator[tuple[str, Any]]:
    """Yield each field's name, and the record with another value there or in a record within."""
    for name in (one.name for one in fields(record)):
        value = getattr(record, name)
        if is_dataclass(value):
            within = ((inner, replace(record, **{name: one})) for inner, one in _changed(value))
            yield from within
        elif name not in ("rois", "seed", *SPECIAL):
            yield name, replace(record, **{name: OTHERS[name] if name in OTHERS else value / 2})


CHANGED = [
    *((trial, name, other) for trial in TRIALS for name, other in _changed(trial)),
    *((one, "precision", one.in_precision("bfloat16")) for one in TRIALS[:4]),
    *((one, "permuted", replace(one, permuted=True)) for one in (TRIAL, TRIALS[2])),
    *((one, "tuned_on", replace(one, tuned_on=OTHER)) for one in (TRIAL, TRIALS[2])),
]


@pytest.mark.parametrize(
    ("trial", "name", "other"), CHANGED, ids=[f"{one.method}-{name}" for one, name, _ in CHANGED]
)
def test_every_field_but_seed_and_rois_changes_the_setting(trial, name, other) -> None:
    own, changed = setting_of(trial), setting_of(other)
    assert own.values.get(name) != changed.values[name]  # an absent scale of pixels is None
    assert own != changed
    assert own.digest != changed.digest
    assert other.id != trial.id


def test_the_settings_of_known_trials_have_their_golden_digest() -> None:
    assert setting_of(TRIAL).digest == "b6f6102f"


def test_the_fields_of_every_record_are_walked() -> None:
    names = {name for _, name, _ in CHANGED}
    assert {"temperature", "hidden_dim", "layers", "weights", "deterministic"} <= names
    assert len(CHANGED) == 10 + 8 + 5 + 10 + 5 * (5 + 5 + 1) + 4 + 2 + 2


@pytest.mark.parametrize("trial", TRIALS, ids=[trial.method for trial in TRIALS])
def test_seed_subject_roi_and_data_are_no_part_of_it(trial) -> None:
    elsewhere = tuple(replace(roi, name="EBA", n_vertices=9, data="89ab0123") for roi in trial.rois)
    assert setting_of(replace(trial, seed=3, rois=elsewhere)) == setting_of(trial)
    names = [name for name, _ in setting_of(trial).items]
    assert len(set(names)) == len(names)


def test_the_values_are_in_the_order_of_the_fields() -> None:
    values = setting_of(TRIAL).values
    assert list(values)[:3] == ["method", "learning_rate", "batch_size"]
    assert list(values)[-4:] == ["precision", "deterministic", "permuted", "tuned_on"]
    assert (values["method"], values["temperature"]) == ("contrastive", 0.3)


def test_the_other_roi_of_a_control_is_named_and_its_hemisphere_where_it_is_the_other() -> None:
    across = replace(OTHER, hemisphere="rh")
    named = [setting_of(replace(TRIAL, tuned_on=one)).values["tuned_on"] for one in (OTHER, across)]
    assert named == ["EBA", "rh-EBA"]


def test_nothing_else_of_the_other_roi_is_in_the_setting_which_is_one_for_all_subjects() -> None:
    own, other = (
        Trial(TRIAL.objective, (roi,), tuned_on=replace(OTHER, subject=roi.subject, data=roi.data))
        for roi in (ROI, TWIN)
    )
    assert setting_of(own) == setting_of(
        replace(other, tuned_on=replace(other.tuned_on, n_vertices=3))
    )
    assert set(setting_of(own).values) == set(setting_of(TRIAL).values)


def test_a_trial_that_is_not_scored_has_no_encoding() -> None:
    values = setting_of(replace(TRIAL, encoding=None)).values
    assert values["encoding"] is None
    assert "layers" not in values


def test_an_evaluation_has_the_setting_of_its_model() -> None:
    assert setting_of(Evaluation(TRIAL, (TWIN,))) == setting_of(TRIAL)
    bf16 = Evaluation(TRIAL.in_precision("bfloat16"), (OTHER,))
    assert setting_of(bf16) != setting_of(TRIAL)


def test_trials_are_named_by_id_its_beginning_or_the_setting() -> None:
    digest = setting_of(TRIAL).digest
    assert all(is_named(TRIAL, name) for name in (TRIAL.id, TRIAL.id[:-3], digest))
    assert not any(is_named(TRIAL, name) for name in ("regression", digest[:-1], "0" * 8))
