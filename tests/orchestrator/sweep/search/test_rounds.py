"""Rounds of a search on disk: begun, gone on with, damaged, and short of new configurations."""

import json
from dataclasses import replace

import pytest

from orchestrator.sweep.search import rounds as rounds_module
from orchestrator.sweep.search.rounds import Progress, Round
from orchestrator.sweep.search.study import (
    build_study,
    propose,
    rank_shares,
)
from tests.builders.small_searches import SEARCH, VALUES, rois
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec.search import (
    PARAMETERS,
    Choice,
    Ranges,
)


@pytest.fixture
def progress(tmp_path) -> Progress:
    """A search on two ROIs whose first round has ended, written down as it was run."""
    progress = Progress(
        SEARCH, "optuna", [(roi,) for roi in rois()[2:4]], SEARCH.backbone, RunDirectory(tmp_path)
    )
    for number, (_, trial) in enumerate(begin(progress).trials):
        history = (EpochReport(1, 1.0, 1.0, 1.0, number / 10),)
        Outcome(trial, "finished", "", "", float(number), {}, history).write(RunDirectory(tmp_path))
    return progress


def begin(progress: Progress) -> Round:
    """Propose the round that waits, and write it down."""
    *_, now = progress.rounds()
    progress.write_round(now)
    return now


def test_a_round_that_was_begun_goes_on_with_its_configurations_whatever_would_be_proposed(
    progress, monkeypatch
) -> None:
    second = begin(progress)
    assert second.number == 1
    monkeypatch.setattr(rounds_module, "propose", lambda *_: pytest.fail("proposed again"))
    again = Progress(SEARCH, "optuna", progress.regions, SEARCH.backbone, progress.runs)
    assert list(again.rounds())[-1] == second
    assert again.configurations == progress.configurations
    assert list(again.configurations.values()) == list(progress.configurations.values())


def test_a_round_s_file_says_what_its_searcher_knew_and_is_written_once(progress) -> None:
    second = begin(progress)
    path = progress.home.path / "round-01.json"
    content, before = json.loads(path.read_text()), path.stat().st_mtime_ns
    first = list(progress.configurations)[:4]
    assert list(content["known"]) == first
    assert content["known"] == rank_shares(progress.records())
    assert list(content["configurations"]) == list(progress.configurations)[4:]
    progress.write_round(second)
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"configurations": {"a": {"tau": 1}}}'])
def test_a_damaged_round_is_refused_by_name(progress, text) -> None:
    (progress.home.path / "round-00.json").write_text(text)
    with pytest.raises(ValueError, match=r"round-00\.json: .*; remove .* restarts the search"):
        list(progress.rounds())


def test_a_round_that_finds_fewer_new_configurations_than_asked_loses_none(tmp_path) -> None:
    fixed = {name: Choice((VALUES[name],)) for name in PARAMETERS}
    search = replace(
        SEARCH,
        ranges=Ranges(**{**fixed, "batch_size": Choice((8, 16, 32))}),
        per_round=2,
        n_configurations=6,
    )
    progress = Progress(search, "random", [(rois()[2],)], search.backbone, RunDirectory(tmp_path))
    tried = []
    for now in progress.rounds():
        progress.write_round(now)
        for name, trial in now.trials:
            tried.append(name)
            history = (EpochReport(1, 1.0, 1.0, 1.0, 0.1),)
            Outcome(trial, "finished", "", "", 0.0, {}, history).write(RunDirectory(tmp_path))
    assert len(tried) == len(set(tried)) == 3


def test_a_space_of_few_configurations_ends_with_all_of_them() -> None:
    fixed = {name: Choice((VALUES[name],)) for name in PARAMETERS}
    search = replace(SEARCH, ranges=Ranges(**{**fixed, "batch_size": Choice((16, 64))}))
    study = build_study(search, "random", 0, {}, [])
    assert len(propose(study, search, 4, {})) == 2
