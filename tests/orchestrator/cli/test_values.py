"""Values on the command line: what is parsed, and what is refused in one short line."""

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import parse_subjects
from orchestrator.cli.values import (
    experiment_name,
    gpu_share,
    minutes,
    non_negative_integer,
    positive_integer,
)
from orchestrator.ingest.noise_ceilings import parse_repeats

DIGITS = "9" * 5000
NO_NUMBERS = [
    "",
    " ",
    "-1",
    "+1",
    "1_000",
    "１２",
    "²",
    "nan",
    "inf",
    "-inf",
    "1e400",
    "0x10",
    "True",
    "1\n2",
    "1\0",
    ".",
    "e5",
    DIGITS,
    "-" + DIGITS,
    "0." + DIGITS,
    "\ud800",
]
PARSERS = (positive_integer, non_negative_integer, gpu_share, minutes, parse_subjects)


@pytest.mark.parametrize("parse", PARSERS)
def test_what_is_no_number_is_refused_in_one_short_line(parse) -> None:
    for text in NO_NUMBERS:
        with pytest.raises(InputError) as refusal:
            parse(text)
        assert "expected" in str(refusal.value) or "not a range" in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("parse", "texts"),
    [
        (positive_integer, ("0", "1.0", "1e3", "1000000001")),
        (non_negative_integer, ("0.5", "1000000001")),
        (gpu_share, ("1.5", "1025", "1e300")),
        (minutes, ("0", "0.0", "1e300")),
        (parse_subjects, ("0", "1000", "3-1", "1-2-3", "1,,2", DIGITS + "-" + DIGITS)),
        (parse_repeats, (DIGITS, "1_0", "１", "-1", "")),
    ],
)
def test_numbers_out_of_bounds_are_refused(parse, texts) -> None:
    for text in texts:
        with pytest.raises(InputError) as refusal:
            parse(text)
        assert len(str(refusal.value)) < 250


def test_numbers_are_parsed() -> None:
    assert positive_integer("12") == 12
    assert non_negative_integer("0") == 0
    assert [gpu_share(text) for text in ("0", "0.5", ".25", "2", "1e0")] == [0, 0.5, 0.25, 2, 1]
    assert minutes("1.5") == 90
    assert parse_subjects("1, 5-7") == (1, 5, 6, 7)


@pytest.mark.parametrize("text", ["", "  ", "a\nb", "a\0", "x" * 251, "\ud800", "\x1b[31m"])
def test_a_name_that_mlflow_can_not_show_is_refused(text) -> None:
    with pytest.raises(InputError, match="expected 1 to 250 printable characters"):
        experiment_name(text)
    assert experiment_name("my experiment, 2ème essai") == "my experiment, 2ème essai"
