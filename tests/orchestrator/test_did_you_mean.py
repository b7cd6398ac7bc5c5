"""A value that does not exist is refused in one line, with those that do and the similar one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.small_shards import write_shards
from orchestrator.__main__ import main
from orchestrator.analyze.catalogue import find
from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Selection, select
from orchestrator.evaluate.pairs import Choice, choose
from tests.builders.planned_rois import ALL_ROIS, rois
from tests.builders.small_scores import write_sweep
from trainables.spec import Contrastive, Trial
from trainables.wording import meant, some


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    directory: Path = tmp_path_factory.mktemp("runs")
    write_sweep(directory)
    return directory


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    directory: Path = tmp_path_factory.mktemp("data")
    write_shards(directory, ("subj01",), n_images=20, image_size=8)
    return directory


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("scores --protocol paperr", "there are nested, paper; did you mean 'paper'?"),
        ("scores --protocol nested,Nest", "there are nested, paper; did you mean 'nested'?"),
        ("scores --rois v1v", "did you mean 'V1v'?"),
        ("scores --rois earyl", "expected early, higher, streams, or any of EBA, V1v, hV4;"),
        ("scores --rois earyl", "did you mean 'early'?"),
        ("scores --rois V1d", "there are EBA, V1v, hV4; did you mean 'V1v'?"),
        ("scores --subjects 11", "there are subj01, subj02; did you mean 'subj01'?"),
        ("scores --subjects subj22", "no scores of 22; there are subj01, subj02; did you mean"),
        ("scores --subjects sbj02", "or names such as subj01; did you mean 'subj02'?"),
        ("scores --by rois", 'Did you mean "roi"?'),
        ("scores --compare contrastve untuned", "; did you mean 'contrastive'?"),
        ("sweep paper --data DATA --rois eba", "did you mean 'EBA'?"),
        ("sweep paper --subjects 01sub", "did you mean 'subj01'?"),
        ("evaluate transfer --methods regresion", "did you mean 'regression'?"),
        ("analyze layer", "did you mean 'layers'?"),
        ("report --mesh fsaverage7", 'Did you mean "fsaverage'),
    ],
)
def test_a_mistyped_value_is_refused_with_the_one_that_was_meant(
    runs, data, capsys, monkeypatch, arguments, message
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    words = [str(data) if word == "DATA" else word for word in arguments.split()]
    assert main([*words, "--out", str(runs)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


MODELS = [Trial(Contrastive(), (roi,)) for roi in rois(1)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: select(ALL_ROIS, Selection(subjects=(22,))), "did you mean 'subj02'?"),
        (lambda: choose(MODELS, Choice(subjects=(11,))), "did you mean 'subj01'?"),
        (lambda: find(["sliency"]), "did you mean 'saliency'?"),
    ],
)
def test_what_the_data_does_not_hold_is_refused_likewise(
    call: Callable[[], object], message: str
) -> None:
    with pytest.raises((InputError, ValueError)) as refusal:
        call()
    assert str(refusal.value).endswith(message)


def test_a_value_like_no_other_is_not_guessed() -> None:
    assert meant("banana", ["V1v", "EBA"]) == ""
    assert meant("banana", []) == ""
    assert meant("", ["V1v"]) == ""


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("", ""),
        ("a", "a"),
        ("abc", "a, b, c"),
        ("abcd", "a, b, c and 1 more (4 in all)"),
        ("x" * 5000, "x, x, x and 4,997 more (5,000 in all)"),
    ],
)
def test_of_many_names_three_are_examples(names, expected) -> None:
    assert some(names) == expected
