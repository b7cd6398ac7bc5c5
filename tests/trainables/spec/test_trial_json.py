"""Trials as JSON: they come back as they were, and what makes no sense is refused."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.known_trials import OTHER, ROI, TRIAL, TWIN
from trainables.spec import (
    CLEAN,
    CLEAN_SHARE,
    PROTOCOLS,
    Backbone,
    Contrastive,
    Encoding,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.rois import HEMISPHERES, ROI_ORDER

ratios = st.floats(1e-8, 100)
labels = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=200)
training = {
    "learning_rate": ratios,
    "batch_size": st.integers(2, 4096),
    "epochs": st.integers(1, 500),
    "validation": st.floats(0, 1, exclude_max=True),
    "tune": st.sampled_from(("all", "from:layer3.0", "lora:8")),
}
objectives = st.one_of(
    st.just(Untuned()),
    st.builds(Regression, **training),
    st.builds(
        Contrastive,
        **training,
        temperature=st.floats(1e-4, 1e4) | st.just("learned"),
        direction=st.sampled_from(("image", "both")),
        memory=st.integers(0, 2**20),
        hidden_ratio=ratios,
        embedding_ratio=ratios,
    ),
)
rois = st.builds(
    Roi,
    dataset=st.sampled_from(("nsd", "nod")),
    subject=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,8}", fullmatch=True),
    hemisphere=st.sampled_from(HEMISPHERES),
    name=st.sampled_from(ROI_ORDER),
    n_vertices=st.integers(1, 10**6),
    data=st.text("0123456789abcdef", min_size=8, max_size=8),
)


def trial_of(objective, encoding, **fields) -> Trial:
    """Build a trial that holds back images where the protocol clean needs some."""
    if CLEAN in encoding.protocols and not isinstance(objective, Untuned):
        objective = replace(objective, validation=max(CLEAN_SHARE, objective.validation))
    return Trial(objective, encoding=encoding, **fields)


encodings = st.builds(
    Encoding,
    layers=st.lists(labels, min_size=1, unique=True).map(tuple),
    protocols=st.lists(st.sampled_from(PROTOCOLS), min_size=1, unique=True).map(tuple),
    n_components=st.integers(1, 5000),
    alphas=st.lists(st.floats(1e-30, 1e30), min_size=1, unique=True).map(sorted).map(tuple),
    n_folds=st.integers(2, 10),
)
any_trial = st.builds(
    trial_of,
    objective=objectives,
    rois=rois.map(lambda roi: (roi,)),
    backbone=st.builds(Backbone, labels, labels),
    encoding=encodings,
    seed=st.integers(0, 2**31),
)


@given(any_trial)
def test_every_trial_comes_back_from_json_as_it_was(trial) -> None:
    again = Trial.from_json(trial.to_json())
    assert again == trial
    assert (again.id, again.training_id) == (trial.id, trial.training_id)


def test_a_trial_of_several_rois_comes_back_with_all_of_them() -> None:
    trial = Trial(Untuned(), (ROI, OTHER))
    assert Trial.from_json(trial.to_json()) == trial


def altered(*keys: str, value: object) -> str:
    content = json.loads(TRIAL.to_json())
    place = content
    for key in keys[:-1]:
        place = place[int(key)] if key.isdecimal() else place[key]
    place[keys[-1]] = value
    return json.dumps(content)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            ("objective", "momentum"),
            r"^objective: unknown keys \['momentum'\]; expected learning_rate, ",
        ),
        (("backbone", "depth"), r"^backbone: unknown keys \['depth'\]"),
        (("encoding", "n_flods"), r"^encoding: unknown keys \['n_flods'\]"),
        (("rois", "0", "voxels"), r"^rois\[0\]: unknown keys \['voxels'\]"),
        (("device",), r"^unknown keys \['device'\]; expected objective, rois, "),
    ],
)
def test_an_unknown_key_is_refused_at_every_level(keys, message) -> None:
    with pytest.raises(ValueError, match=message):
        Trial.from_json(altered(*keys, value=1))


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^objective: expected an objective whose method is one of untuned, "
    ):
        Trial.from_json(altered("objective", "method", value="guess"))


def test_a_missing_key_is_refused() -> None:
    content = json.loads(TRIAL.to_json())
    del content["rois"][0]["name"]
    with pytest.raises(ValueError, match=r"^rois\[0\].name: missing$"):
        Trial.from_json(json.dumps(content))


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^expected an object, found \[1, 2\]$"):
        Trial.from_json("[1, 2]")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: replace(ROI, hemisphere="left"),
            "Roi.hemisphere: expected one of lh, rh, both, found 'left'",
        ),
        (
            lambda: replace(ROI, n_vertices=0),
            "Roi.n_vertices: expected a value of at least 1, found 0",
        ),
        (
            lambda: Regression(learning_rate=0),
            "Regression.learning_rate: expected a value above 0, found 0",
        ),
        (
            lambda: Contrastive(learning_rate=-1),
            "Contrastive.learning_rate: expected a value above 0, found -1",
        ),
        (
            lambda: Contrastive(batch_size=1),
            "Contrastive.batch_size: expected a value of at least 2, found 1",
        ),
        (
            lambda: Regression(epochs=0),
            "Regression.epochs: expected a value of at least 1, found 0",
        ),
        (
            lambda: Regression(validation=1.0),
            "Regression.validation: expected a value below 1, found 1.0",
        ),
        (
            lambda: Contrastive(validation=-0.1),
            "Contrastive.validation: expected a value of at least 0, found -0.1",
        ),
        (lambda: Contrastive(temperature=0), "temperature: expected a value above 0, found 0"),
        (
            lambda: Contrastive(temperature="learnt"),
            "temperature: expected 'learned' or a number, found 'learnt'",
        ),
        (lambda: Contrastive(direction="response"), "direction: expected 'image' or 'both', found"),
        (lambda: Contrastive(memory=-1), "memory: expected a value of at least 0, found -1"),
        (lambda: Contrastive(hidden_ratio=0), "hidden_ratio: expected a value above 0, found 0"),
        (
            lambda: Contrastive(embedding_ratio=0),
            "embedding_ratio: expected a value above 0, found 0",
        ),
        (
            lambda: Contrastive(learning_rate=float("nan")),
            "learning_rate: expected a finite number, found nan",
        ),
        (
            lambda: Contrastive(temperature=float("nan")),
            "temperature: expected a finite number, found nan",
        ),
        (lambda: Encoding(layers=()), "Encoding.layers: expected at least 1 of them"),
        (lambda: Encoding(protocols=()), "Encoding.protocols: expected at least 1 of them"),
        (lambda: Encoding(alphas=()), "Encoding.alphas: expected at least 1 of them"),
        (
            lambda: Encoding(protocols=("new",)),
            r"Encoding.protocols\[0\]: expected 'nested', 'clean', 'paper' or",
        ),
        (lambda: Encoding(n_folds=1), "Encoding.n_folds: expected a value of at least 2, found 1"),
        (
            lambda: Encoding(n_components=0),
            "Encoding.n_components: expected a value of at least 1, found 0",
        ),
        (
            lambda: Encoding(alphas=(1.0, 0.0)),
            r"Encoding.alphas\[1\]: expected a value above 0, found 0",
        ),
        (lambda: Pooled(temperature=0), "Pooled.temperature: expected a value above 0, found 0"),
        (
            lambda: Pooled(hidden_dim=0),
            "Pooled.hidden_dim: expected 'mean' or an integer from 1 to 1048576, found 0",
        ),
        (
            lambda: Pooled(hidden_dim="avg"),
            "hidden_dim: expected 'mean' or an integer from 1 to 1048576, found 'avg'",
        ),
        (
            lambda: Pooled(order="random"),
            "order: expected 'sequential' or 'interleaved', found 'random'",
        ),
        (
            lambda: Pooled(hidden_dim=9, epochs=0),
            "Pooled.epochs: expected a value of at least 1, found 0",
        ),
        (
            lambda: Trial(Pooled(), (ROI,)),
            "a pooled-avg trial pools two subjects or more, one ROI each, found nsd-subj01-lh-V1v",
        ),
        (lambda: Trial(Pooled(), (ROI, ROI)), "nsd-subj01-lh-V1v occurs twice"),
        (
            lambda: Trial(Pooled(), (ROI, replace(TWIN, name="EBA"))),
            "a pooled-avg trial is of one ROI, found nsd-subj01-lh-V1v, nsd-subj02-lh-EBA",
        ),
        (lambda: Trial(Pooled(), (ROI, replace(TWIN, hemisphere="rh"))), "is of one ROI"),
        (lambda: Trial(Untuned(), ()), "a trial needs at least one ROI"),
        (
            lambda: Trial(Untuned(), (ROI, replace(ROI, subject="subj02"))),
            r"of one subject, found \['nsd-subj01', 'nsd-subj02'\]",
        ),
        (
            lambda: Trial(Regression(), (ROI, OTHER)),
            "a regression trial is fine-tuned on one ROI, found 2",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_in_plain_words(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
