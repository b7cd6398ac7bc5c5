"""Values that no spec accepts: each is refused in one line, with what was expected and found."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.builders.planned_rois import rois
from trainables.spec import (
    Backbone,
    Contrastive,
    Encoding,
    Evaluation,
    IntegerRange,
    LogUniform,
    Pooled,
    Ranges,
    Regression,
    Roi,
    Search,
    Trial,
    Untuned,
)
from trainables.spec.records import read_record

(ROI,) = rois(1)
NO_NUMBERS = [
    float("nan"),
    float("inf"),
    -float("inf"),
    -1,
    -0.5,
    "1",
    "1_000",
    "１２",
    "nan",
    b"1",
    True,
    False,
    np.bool_(True),
    np.float64("nan"),
    np.float32("inf"),
    np.int8(-3),
    np.complex64(1),
    np.datetime64("2020"),
    np.array([1, 2]),
    1j,
    10**400,
    None,
    (),
    [1],
    {},
    {1},
    object(),
]
NO_INTEGERS = [*NO_NUMBERS, 0.5, np.float32(1.5), 1e300, 2**63, np.uint64(2**64 - 1)]
NO_LABELS = ["", "a\n", "a\0b", "a\x1b[31m", "\u202etxt", "x" * 201, b"a", 3, None, ("a",), []]
NO_NAMES = [*NO_LABELS, "../up", "a/b", ".", "..", "-a", "\ud800", "Ünï", "x" * 5000, "a b"]


def line_of(make: Any) -> str:
    """Return the refusal of a call, which is a single short line."""
    started = time.monotonic()
    with pytest.raises(ValueError) as refusal:
        make()
    text = str(refusal.value)
    assert "\n" not in text
    assert len(text) < 500
    assert time.monotonic() - started < 5
    return text


@pytest.mark.parametrize(
    ("kind", "field", "also"),
    [
        (Contrastive, "learning_rate", (0, 5e-324, 1e-300, 101, 1e300)),
        (Regression, "learning_rate", (0, 1e300)),
        (Pooled, "learning_rate", (0, 1e300)),
        (Contrastive, "temperature", (0, 1e-5, 1e5, 5e-324)),
        (Contrastive, "hidden_ratio", (0, 101, 1e18)),
        (Contrastive, "embedding_ratio", (0, 5e-324, 1e18)),
        (Contrastive, "validation", (1, 1.5, 1e300)),
    ],
)
def test_what_is_no_number_of_an_objective_is_refused(kind, field, also) -> None:
    for value in (*NO_NUMBERS, *also):
        text = line_of(lambda value=value: kind(**{field: value}))
        assert text.startswith(f"{kind.__name__}.{field}: expected ")
        assert ", found " in text


@pytest.mark.parametrize(
    ("make", "field", "also"),
    [
        (lambda value: Contrastive(epochs=value), "Contrastive.epochs", (0, 10**6 + 1)),
        (lambda value: Contrastive(batch_size=value), "Contrastive.batch_size", (0, 1, 2**21)),
        (lambda value: Pooled(hidden_dim=value), "Pooled.hidden_dim", (0, 2**21, "Mean")),
        (lambda value: Encoding(n_folds=value), "Encoding.n_folds", (0, 1, 10**9)),
        (lambda value: Encoding(n_components=value), "Encoding.n_components", (0, 10**9)),
        (lambda value: Trial(Untuned(), (ROI,), seed=value), "Trial.seed", (-0.5,)),
        (lambda value: replace(ROI, n_vertices=value), "Roi.n_vertices", (0, 10**9)),
    ],
)
def test_what_is_no_integer_of_a_spec_is_refused(make, field, also) -> None:
    for value in (*NO_INTEGERS, *also):
        text = line_of(lambda value=value: make(value))
        assert text.startswith(f"{field}: expected ")
        assert ", found " in text


@pytest.mark.parametrize("field", ["dataset", "subject", "name"])
def test_what_can_not_be_part_of_a_path_is_no_name(field) -> None:
    for value in NO_NAMES:
        assert line_of(lambda value=value: replace(ROI, **{field: value})).startswith(
            f"Roi.{field}: expected "
        )


def test_what_is_not_printable_in_a_line_is_no_label() -> None:
    for value in NO_LABELS:
        for make, field in (
            (lambda value: Backbone(value), "Backbone.architecture"),
            (lambda value: Backbone(weights=value), "Backbone.weights"),
            (lambda value: replace(ROI, data=value), "Roi.data"),
            (lambda value: Encoding(layers=(value,)), "Encoding.layers[0]"),
        ):
            assert line_of(lambda make=make, value=value: make(value)).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alphas": (1.0, 0.1)}, "alphas: expected numbers in ascending order, each once, found"),
        ({"alphas": (1.0, 1)}, "alphas: expected numbers in ascending order, each once, found"),
        ({"alphas": ()}, "alphas: expected at least 1 of them"),
        ({"alphas": 1.0}, "alphas: expected a list, found 1.0"),
        ({"alphas": np.linspace(1, 2, 1001)}, "alphas: expected at most 1000 of them"),
        ({"alphas": (5e-324,)}, "alphas[0]: expected a number from 1e-30 to 1e+30, found 5e-324"),
        ({"alphas": (1, 1e300)}, "alphas[1]: expected a number from 1e-30 to 1e+30, found 1e+300"),
        ({"alphas": (1, np.inf)}, "alphas[1]: expected a finite number, found inf"),
        ({"alphas": (True,)}, "alphas[0]: expected a number, found True"),
        ({"layers": ("a", "a")}, "layers: expected each value once, found ('a', 'a')"),
        ({"layers": ()}, "layers: expected at least 1 of them"),
        ({"layers": tuple(map(str, range(10**5)))}, "layers: expected at most 1000 of them"),
        ({"protocols": ("nested", "nested")}, "protocols: expected each value once, found"),
        (
            {"protocols": ("nest",)},
            "protocols[0]: expected 'nested', 'clean', 'paper' or 'released', f",
        ),
    ],
)
def test_an_encoding_of_unusable_values_is_refused(settings, message) -> None:
    assert line_of(lambda: Encoding(**settings)).startswith(f"Encoding.{message}")


def test_an_roi_twice_or_of_two_data_is_refused() -> None:
    other = replace(rois(2)[1], data="other")
    twice = "Trial: rois: nsd-subj01-lh-V1v occurs twice"
    assert line_of(lambda: Trial(Untuned(), (ROI, ROI))) == twice
    assert line_of(lambda: Trial(Untuned(), (ROI, replace(ROI, n_vertices=5)))) == twice
    assert line_of(lambda: Trial(Untuned(), (ROI, other))).startswith(
        "Trial: rois: nsd-subj01 has data "
    )
    model = Trial(Contrastive(), (replace(ROI, subject="subj02"),))
    assert line_of(lambda: Evaluation(model, (ROI, ROI))).startswith("Evaluation: rois: nsd-subj01")


def test_equal_values_have_one_id() -> None:
    class Text(str):
        pass

    plain = Trial(Contrastive(), (ROI,), seed=0)
    assert Trial(Contrastive(validation=-0.0), (ROI,), seed=-0.0).id == plain.id
    assert Trial(Contrastive(), (replace(ROI, name=Text("V1v")),), seed=np.uint8(0)).id == plain.id
    assert Trial.from_json(plain.to_json().replace('"seed": 0', '"seed": -0.0')).id == plain.id


def search_over(**changed: Any) -> Search:
    ranges = {
        "temperature": LogUniform(0.1, 1.0),
        "learning_rate": LogUniform(1e-5, 1e-3),
        "epochs": IntegerRange(2, 4),
        "batch_size": IntegerRange(16, 32),
        "hidden_ratio": LogUniform(0.1, 1.0),
        "embedding_ratio": LogUniform(0.1, 1.0),
    }
    others = {"n_rois": 1, "min_vertices": 1, "n_configurations": 1, "per_round": 1}
    in_ranges = {name: changed.pop(name) for name in ranges.keys() & changed.keys()}
    made = Ranges(**{**ranges, **in_ranges})
    return Search(made, **{**others, "grace_period": 1, "reduction_factor": 2.0, **changed})


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": LogUniform(1e-5, 1e6)},
        {"temperature": LogUniform(1e-9, 1.0)},
        {"epochs": IntegerRange(1, 2**62)},
        {"batch_size": IntegerRange(1, 4)},
        {"hidden_ratio": LogUniform(0.1, 1e9)},
        {"n_configurations": 10**9},
        {"per_round": 10**9},
        {"n_rois": 10**9},
        {"seed": -1},
        {"validation": 1},
        {"reduction_factor": float("inf")},
        {"backbone": "alexnet"},
    ],
)
def test_a_search_beyond_what_trials_accept_is_refused_when_it_is_made(changed) -> None:
    assert search_over()
    assert ": expected" in line_of(lambda: search_over(**changed))


HUGE = b"1" * 5000


@pytest.mark.parametrize(
    "content",
    [
        HUGE,
        b"-" + HUGE,
        HUGE + b".5",
        b'{"seed": ' + HUGE + b"}",
        b"[" * 10**5 + b"]" * 10**5,
        b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
        b'{"objective": {"method": ' + b"[" * 150 + b"]" * 150 + b"}}",
        b'"' + b"x" * 10**6 + b'"',
        b'{"' + b"x" * 10**6 + b'": 1}',
        b"\0" * 100,
        b"",
        b"\xef\xbb\xbf{}",
        b"NaN",
    ],
)
def test_a_record_of_anything_else_is_refused_quickly(tmp_path, content) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    for kind in (Trial, Evaluation, Roi, Search):
        assert line_of(lambda kind=kind: read_record(path, kind, "cure")).endswith("; cure")


def special_files(directory: Path) -> dict[str, Path]:
    """Make what a path may name instead of a file."""
    os.mkfifo(directory / "pipe")
    (directory / "loop").symlink_to("loop")
    (directory / "to-pipe").symlink_to("pipe")
    (directory / "to-zero").symlink_to("/dev/zero")
    (directory / "folder").mkdir()
    with (directory / "sparse").open("wb") as file:
        file.truncate(10**13)
    names = ("pipe", "loop", "to-pipe", "to-zero", "folder", "sparse")
    return {**{name: directory / name for name in names}, "device": Path("/dev/zero")}


def test_pipes_loops_devices_and_huge_files_are_no_records(tmp_path) -> None:
    for path in special_files(tmp_path).values():
        text = line_of(lambda path=path: read_record(path, Trial, "cure"))
        assert text.startswith(f"{path}: ")


def test_a_file_that_grows_while_it_is_read_is_read_to_the_limit() -> None:
    endless = Path("/proc/self/mem")  # a regular file of size 0 that can't be read at 0
    assert "cure" in line_of(lambda: read_record(endless, Trial, "cure"))


def test_json_is_written_as_it_is_read() -> None:
    made = Trial(Contrastive(), (ROI,), seed=2**63 - 1)
    assert Trial.from_json(made.to_json()) == made
    assert json.loads(made.to_json())["seed"] == 2**63 - 1
