"""Fields of specs and records: what is taken for what, what is refused, and in which words."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.small_scores import roi
from trainables.spec import (
    Backbone,
    Choice,
    Contrastive,
    Encoding,
    IntegerRange,
    LogUniform,
    Pooled,
    Ranges,
    Regression,
    Trial,
    Untuned,
)
from trainables.spec.records import MAX_BYTES, read_record
from trainables.spec.search import checked, name_of

ROI = roi()
INTEGERS: tuple[Callable[[int], Any], ...] = (int, float, np.int64, np.int32, np.float64, np.array)
NUMBERS: tuple[Callable[[float], Any], ...] = (float, np.float64, np.array)


def trial(**changes: Any) -> Trial:
    return Trial(Contrastive(**changes), (ROI,))


@given(
    batch_size=st.integers(2, 4096),
    epochs=st.integers(1, 500),
    rate=st.floats(1e-8, 1.0),
    seed=st.integers(0, 2**31 - 1),
    as_integer=st.sampled_from(INTEGERS),
    as_number=st.sampled_from(NUMBERS),
)
def test_equal_values_of_any_numeric_type_are_one_trial_with_one_id(
    batch_size, epochs, rate, seed, as_integer, as_number
) -> None:
    plain = Contrastive(learning_rate=rate, batch_size=batch_size, epochs=epochs)
    other = Contrastive(
        learning_rate=as_number(rate), batch_size=as_integer(batch_size), epochs=as_integer(epochs)
    )
    one, two = Trial(plain, (ROI,), seed=seed), Trial(other, (ROI,), seed=as_integer(seed))
    assert one == two
    assert (one.id, one.training_id) == (two.id, two.training_id)
    assert one.to_json() == two.to_json()
    assert [type(value) for value in asdict(other).values()] == [
        type(value) for value in asdict(plain).values()
    ]


def test_a_number_without_a_fraction_is_an_integer_and_an_integer_a_number() -> None:
    assert trial(batch_size=256.0).id == trial(batch_size=256).id
    assert trial(learning_rate=1).id == trial(learning_rate=1.0).id
    assert type(Contrastive(learning_rate=1).learning_rate) is float
    assert type(Pooled(hidden_dim=64.0).hidden_dim) is int


def test_a_sweep_over_an_array_of_numpy_has_the_ids_of_one_over_its_numbers() -> None:
    sizes = [64, 128, 256]
    assert [trial(batch_size=b).id for b in np.array(sizes)] == [
        trial(batch_size=b).id for b in sizes
    ]
    assert trial(temperature=np.float32(0.5)).id == trial(temperature=0.5).id


def test_arrays_and_lists_are_sequences_and_sets_and_iterators_are_none() -> None:
    expected = Encoding(alphas=(1.0, 10.0, 100.0))
    for alphas in (np.logspace(0, 2, 3), [1, 10, 100], [np.int64(1), 10.0, 100]):
        assert Encoding(alphas=alphas) == expected
    assert hash(Encoding(layers=["a", "b"])) == hash(Encoding(layers=("a", "b")))
    for none in ({"a", "b"}, (one for one in "ab"), count()):
        with pytest.raises(ValueError, match=r"^Encoding.layers: expected a list or a tuple, f"):
            Encoding(layers=none)
    with pytest.raises(ValueError, match=r"^Encoding.layers: expected a list, found 'features.5'"):
        Encoding(layers="features.5")


def test_a_path_is_its_text() -> None:
    assert Backbone(weights=str(Path("sha256:0"))) == Backbone(weights="sha256:0")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Trial(Untuned(), (ROI,), seed="seven"),
            "Trial.seed: expected an integer, found 'seven'",
        ),
        (
            lambda: Trial(Untuned(), (ROI,), deterministic="no"),
            "Trial.deterministic: expected true or false, found 'no'",
        ),
        (
            lambda: Contrastive(batch_size=256.5),
            "Contrastive.batch_size: expected an integer, found 256.5",
        ),
        (
            lambda: Contrastive(batch_size="256"),
            "Contrastive.batch_size: expected an integer, found '256'",
        ),
        (lambda: Contrastive(epochs=True), "Contrastive.epochs: expected an integer, found True"),
        (
            lambda: Regression(learning_rate="1e-3"),
            "Regression.learning_rate: expected a number, found '1e-3'",
        ),
        (
            lambda: Regression(learning_rate=np.bool_(True)),
            "Regression.learning_rate: expected a number, found True",
        ),
        (
            lambda: Contrastive(epochs=[30]),
            "Contrastive.epochs: expected an integer, found (30,)",
        ),
        (
            lambda: Contrastive(epochs=np.array([30, 40])),
            "Contrastive.epochs: expected an integer, found (30, 40)",
        ),
        (
            lambda: Contrastive(temperature=None),
            "Contrastive.temperature: expected a number, found None",
        ),
        (lambda: Contrastive(epochs=10**30), "Contrastive.epochs: expected a value below"),
        (lambda: Contrastive(epochs=10**9999), "Contrastive.epochs: expected"),
        (lambda: Trial(Untuned(), ("V1v",)), "Trial.rois[0]: expected an object, found 'V1v'"),
        (lambda: Trial(3, (ROI,)), "Trial.objective: expected one of Untuned, Regression"),
        (lambda: replace(ROI, n_vertices=1.5), "Roi.n_vertices: expected an integer, found 1.5"),
        (lambda: Contrastive(momentum=1), "Contrastive: unknown keys ['momentum']; expected"),
        (lambda: Pooled(hidden_dim=True), "Pooled.hidden_dim: expected 'mean' or an integer"),
        (
            lambda: LogUniform("low", 1),
            "LogUniform.low: expected a number, found 'low'",
        ),
        (lambda: IntegerRange(1.5, 2), "IntegerRange.low: expected an integer, found 1.5"),
        (lambda: Choice((1, "2")), "Choice.values[1]: expected a finite number, found '2'"),
    ],
)
def test_what_is_ambiguous_is_refused_with_the_field_the_found_and_the_expected(
    make, message
) -> None:
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value).startswith(message)
    assert "\n" not in str(refusal.value)


def test_a_configuration_of_equal_numbers_has_one_name() -> None:
    values = {
        "temperature": 1.0,
        "learning_rate": 1e-4,
        "epochs": 10,
        "batch_size": 64,
        "hidden_ratio": 0.5,
        "embedding_ratio": 0.25,
    }
    other = {**values, "temperature": 1, "epochs": 10.0, "batch_size": np.int64(64)}
    assert checked(other) == values
    assert name_of(other) == name_of(values)


def test_choices_of_an_integer_hyperparameter_are_integers() -> None:
    ranges = {name: LogUniform(0.1, 1) for name in ("temperature", "learning_rate")} | {
        "hidden_ratio": Choice((1.0, 0.5)),
        "embedding_ratio": Choice((0.5,)),
        "epochs": IntegerRange(2, 4),
    }
    assert Ranges(**ranges, batch_size=Choice((16.0, 32))).batch_size == Choice((16, 32))
    with pytest.raises(ValueError, match=r"^Ranges: batch_size: expected integers, found \[2\.5\]"):
        Ranges(**ranges, batch_size=Choice((2, 2.5)))


CURE = "write it again"


def refused(path: Path, kind: type[Any]) -> str:
    with pytest.raises(ValueError) as refusal:
        read_record(path, kind, CURE)
    text = str(refusal.value)
    assert text.startswith(f"{path}: ")
    assert text.endswith(f"; {CURE}")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"seed": ', "not JSON"),
        (b"[" * 10**6, "not JSON (recursion limit exceeded"),
        (b'{"seed":' * 10**5, "not JSON (recursion limit exceeded"),
        (b'{"seed": ' + b"1" * 10**5 + b"}", "not JSON (number out of range"),
        (b"[1]", "expected an object, found"),
        (b"null", "expected an object, found None"),
    ],
)
def test_a_file_of_anything_else_is_refused_in_one_line(tmp_path, content, message) -> None:
    (tmp_path / "a.json").write_bytes(content)
    assert message in refused(tmp_path / "a.json", Trial)


def test_a_file_too_large_is_refused_unread(tmp_path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    assert f"expected at most {MAX_BYTES} bytes, found {MAX_BYTES + 1}" in refused(path, Trial)


def test_a_directory_is_refused_and_an_absent_file_is_absent(tmp_path) -> None:
    assert "Is a directory" in refused(tmp_path, Trial)
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path / "absent.json", Trial, CURE)


@pytest.mark.parametrize("method", [[], {}, None, 3])
def test_a_method_that_is_no_text_is_refused_in_one_line(method) -> None:
    content = json.loads(trial().to_json())
    content["objective"]["method"] = method
    with pytest.raises(ValueError, match=r"objective: expected an objective whose method is one"):
        Trial.from_json(json.dumps(content))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


@given(data=st.data(), value=JSON)
def test_a_trial_with_any_value_in_any_place_is_read_as_it_is_or_refused_in_one_line(
    data, value
) -> None:
    content = json.loads(trial().to_json())
    place = content
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else [0]))
        deeper = isinstance(place[key], dict | list) and place[key]
        if not deeper or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    text = json.dumps(content)
    refusal = ""
    try:
        read = Trial.from_json(text)
    except ValueError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 600
    if not refusal:
        assert Trial.from_json(read.to_json()) == read
