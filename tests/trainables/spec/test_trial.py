"""Trials and their ids: stable, made of the science alone, and read back as they were written."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.spec import (
    LARGEST_ROI,
    PROTOCOLS,
    Backbone,
    Contrastive,
    Encoding,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
    digest,
)
from trainables.spec.rois import HEMISPHERES, ROI_ORDER

ROI = Roi("nsd", "subj01", "lh", "V1v", 704, "0123abcd")
OTHER = replace(ROI, name="EBA", n_vertices=2971)
TRIAL = Trial(Contrastive(), (ROI,))
TWIN = replace(ROI, subject="subj02", n_vertices=650, data="4567ef01")
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
    with pytest.raises(ValueError, match="an untuned trial fine-tunes nothing in bfloat16"):
        replace(untuned, precision="bfloat16")
    with pytest.raises(
        ValueError, match=r"Trial.precision: expected 'float32' or 'bfloat16', found 'float16'"
    ):
        Trial(Contrastive(), (ROI,), precision="float16")


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


numbers = st.floats(1e-8, 1e8)
training = {
    "learning_rate": numbers,
    "batch_size": st.integers(2, 4096),
    "epochs": st.integers(1, 500),
    "validation": st.floats(0, 1, exclude_max=True),
}
objectives = st.one_of(
    st.just(Untuned()),
    st.builds(Regression, **training),
    st.builds(
        Contrastive,
        **training,
        temperature=numbers,
        hidden_ratio=numbers,
        embedding_ratio=numbers,
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
encodings = st.builds(
    Encoding,
    layers=st.lists(st.text(), min_size=1).map(tuple),
    protocols=st.lists(st.sampled_from(PROTOCOLS), min_size=1, unique=True).map(tuple),
    n_components=st.integers(1, 5000),
    alphas=st.lists(numbers, min_size=1).map(tuple),
    n_folds=st.integers(2, 10),
)
any_trial = st.builds(
    Trial,
    objective=objectives,
    rois=rois.map(lambda roi: (roi,)),
    backbone=st.builds(Backbone, st.text(), st.text()),
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
            "Roi.hemisphere: expected one of lh, rh, found 'left'",
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
            r"Encoding.protocols\[0\]: expected 'nested', 'paper' or",
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
            "Pooled.hidden_dim: expected 'mean' or an integer of at least 1, found 0",
        ),
        (
            lambda: Pooled(hidden_dim="avg"),
            "hidden_dim: expected 'mean' or an integer of at least 1, found 'avg'",
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
        (lambda: Trial(Pooled(), (ROI, ROI)), "pools two subjects or more, one ROI each"),
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
