"""Many problems of one kind are one line."""

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.cli.problems import printable, summed_up
from orchestrator.cli.process import run


def unreadable(number: int) -> str:
    return f"/data/{number}.png: not a readable image ({number} bytes); download it again"


@pytest.mark.parametrize("n_lines", [0, 1, 3])
def test_few_problems_are_listed_as_they_are(n_lines) -> None:
    lines = [unreadable(k) for k in range(n_lines)]
    assert summed_up(lines) == lines


def test_many_problems_of_a_kind_are_a_count_and_three_examples() -> None:
    other = "/data/rois: no ROI masks there; download them"
    lines = [unreadable(k) for k in range(5000)]
    assert summed_up([*lines[:7], other, *lines[7:]]) == [
        "/data/0.png, /data/1.png, /data/2.png and 4,997 more (5,000 in all): not a readable image "
        "(0 bytes); download it again",
        other,
    ]


def test_many_problems_of_one_file_keep_their_examples() -> None:
    lines = [f"/m.npy: label {k} is named 'R{k}'; correct the mapping" for k in range(40)]
    assert summed_up(lines) == [
        "/m.npy: label 0 is named 'R0'; label 1 is named 'R1'; label 2 is named 'R2'; and 37 more "
        "(40 in all); correct the mapping"
    ]


def test_problems_of_other_kinds_are_not_merged() -> None:
    lines = [f"/x: {word}; remove it" for word in ("cut", "empty", "damaged", "a link", "a pipe")]
    assert summed_up(lines) == lines


def test_lines_without_a_path_are_summed_up_too() -> None:
    assert summed_up([f"subject {k} is not there; leave it out" for k in range(9)]) == [
        "subject 0 is not there; subject 1 is not there; subject 2 is not there; and 6 more "
        "(9 in all); leave it out"
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("café", "café"), ("caf\udce9.png", r"caf\xe9.png"), ("\ud800", r"\ud800")],
)
def test_what_is_no_utf_8_is_escaped(text, shown) -> None:
    assert printable(text) == shown


def test_a_command_sums_up_its_complaints(capsys) -> None:
    def refuse() -> None:
        raise InputError(*(unreadable(k) for k in range(10_000)))

    assert run(refuse) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: /data/0.png, /data/1.png, /data/2.png and 9,997 more")
