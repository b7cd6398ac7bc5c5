"""Labels of settings: what differs, by name, and different for different settings."""

from dataclasses import replace

import pytest

from tests.builders.known_trials import OTHER, ROI, TRIAL, TWIN
from trainables.spec import Contrastive, Encoding, Pooled, Regression, Trial, Untuned
from trainables.spec.evaluation import Evaluation
from trainables.spec.labels import (
    format_values,
    labels_of,
    method_of,
    printable,
    split_label,
)


def contrastive(temperature: float, seed: int = 0, **other: float) -> Trial:
    return Trial(Contrastive(temperature=temperature, **other), (ROI,), seed=seed)


def test_a_label_names_only_what_differs_within_its_method() -> None:
    trials = [
        contrastive(0.1, learning_rate=1e-3),
        contrastive(0.3, learning_rate=1e-4),
        Trial(Regression(epochs=3), (ROI,)),
        Trial(Untuned(), (ROI,)),
    ]
    labels = labels_of(trials)
    assert [labels.of(one, ROI) for one in trials] == [
        "contrastive learning_rate=0.001 temperature=0.1",
        "contrastive learning_rate=0.0001 temperature=0.3",
        "regression",
        "untuned",
    ]
    assert split_label(labels.of(trials[0], ROI)) == (
        "contrastive",
        {"learning_rate": "0.001", "temperature": "0.1"},
    )


def test_an_evaluation_has_the_label_of_its_model() -> None:
    models = [contrastive(0.1), contrastive(0.3)]
    there = replace(ROI, subject="subj07")
    labels = labels_of([*models, Evaluation(models[0], (there,))])
    label = labels.of(Evaluation(models[0], (there,)), there)
    assert label == "transfer-contrastive temperature=0.1"
    assert method_of(label) == "transfer-contrastive"


def test_a_line_names_the_place_and_what_differs_in_short() -> None:
    labels = labels_of([contrastive(0.1), contrastive(0.1, seed=2), contrastive(1.0)])
    where = f"{ROI.subject} {ROI.hemisphere} {ROI.name}"
    assert labels.of_trial(contrastive(0.1, seed=2)) == f"contrastive {where} τ=0.1 seed 2"
    assert (
        printable(labels.of_trial(contrastive(1.0)), "ascii")
        == f"contrastive {where} temp=1 seed 0"
    )
    alone = labels_of([TRIAL])
    assert alone.of_trial(TRIAL) == f"{TRIAL.method} {where}"
    untuned = Trial(Untuned(), (ROI,))
    assert labels_of([untuned]).of_trial(untuned) == f"untuned {ROI.subject}"


def test_a_line_of_an_evaluation_or_a_pool_names_all_subjects() -> None:
    pool = Trial(Pooled(), (ROI, TWIN))
    where = f"{ROI.subject}+{TWIN.subject} {ROI.hemisphere} {ROI.name}"
    assert labels_of([pool]).of_trial(pool) == f"pooled-avg {where}"
    found = Evaluation(pool, (replace(ROI, subject="subj07"),))
    assert labels_of([found]).of_trial(found) == f"transfer-pooled-avg {where} on subj07"


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0.1, 1.0, 2.5e-5], ["0.1", "1", "2.5e-05"]),
        ([0.12345, 0.12349], ["0.12345", "0.12349"]),
        ([0.1, 0.1 + 1e-16], ["0.1", "0.1000000000000001"]),
        ([True, None], ["true", "none"]),
        (["mean", 5741], ["mean", "5741"]),
        ([("a b", "c")], ["a_b,c"]),
    ],
)
def test_values_are_as_short_as_keeps_them_apart(values, texts) -> None:
    assert list(format_values(values).values()) == texts


def test_long_values_that_are_cut_alike_stay_apart() -> None:
    long = [tuple(f"features.{k}" for k in range(n, n + 20)) for n in (0, 0)]
    long[1] = (*long[0][:9], "other", *long[0][10:])
    texts = format_values(long)
    assert len(set(texts.values())) == 2
    assert all(len(text) < 50 and " " not in text for text in texts.values())


def test_every_two_settings_have_two_labels() -> None:
    changed = [
        TRIAL,
        replace(TRIAL, encoding=Encoding(n_components=7)),
        replace(TRIAL, encoding=Encoding(protocols=("paper",))),
        replace(TRIAL, deterministic=not TRIAL.deterministic, precision="float32"),
        replace(TRIAL, seed=TRIAL.seed + 1),
        replace(TRIAL, rois=(OTHER,)),
    ]
    labels = labels_of(changed)
    texts = [labels.of(one, one.rois[0]) for one in changed]
    assert len(set(texts[:4])) == 4
    assert texts[4] == texts[5] == texts[0]
