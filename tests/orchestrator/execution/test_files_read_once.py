"""Planning twice and the status of a sweep read each of its files once."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.execution.plan import make_plan, with_strangers
from orchestrator.execution.run_record import Command, state_of
from orchestrator.sweep.spaces import expand
from tests.builders.planned_rois import COSTS, rois, three_methods
from trainables.results import complete_scores
from trainables.results import outcome as outcomes
from trainables.results.complete_scores import find_score_files
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, describe_scores
from trainables.results.strangers import find_strangers
from trainables.spec import Trial
from trainables.storage import unchanged
from trainables.storage.atomic import write_parquet


@pytest.fixture
def trials(tmp_path: Path) -> list[Trial]:
    """Finished trials in tmp_path, of which each has one score file."""
    runs, trials = RunDirectory(tmp_path), expand(three_methods, rois(1), None)
    for trial in trials:
        table = SCORE_SCHEMA.empty_table().replace_schema_metadata(describe_scores(trial, "1"))
        write_parquet(runs.score_file(trial.id, trial.rois[0].id), table)
        Outcome(trial, "finished", "host", "cpu", 0.0, {}).write(runs)
    return trials


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The score files and outcomes that are read, as they are read; none counts as new."""
    monkeypatch.setattr(unchanged, "SETTLED_SECONDS", -1.0)
    seen: list[Path] = []
    for module, name in (
        (complete_scores, "read_score_columns"),
        (complete_scores, "is_stranger"),
        (outcomes, "read_record"),
    ):
        monkeypatch.setattr(module, name, noting(getattr(module, name), seen))
    return seen


def noting(function: Callable[..., Any], seen: list[Path]) -> Callable[..., Any]:
    """Make a function that also notes its first argument."""

    def noted(path: Path, *rest: Any) -> Any:
        seen.append(path)
        return function(path, *rest)

    return noted


def scores_of(paths: list[Path]) -> list[Path]:
    return sorted(path for path in paths if path.suffix == ".parquet")


def test_a_second_plan_reads_only_the_score_files_that_have_changed(tmp_path, trials, read) -> None:
    runs = RunDirectory(tmp_path)
    assert make_plan(trials, runs, COSTS).waiting == ()
    assert scores_of(read) == runs.score_files()
    path = runs.score_file(trials[0].id, trials[0].rois[0].id)
    path.write_bytes(path.read_bytes()[:-9])
    read.clear()
    plan = make_plan(trials, runs, COSTS)
    assert with_strangers(plan, runs) == plan
    assert [one.id for one in plan.waiting] == [trials[0].id]
    assert set(scores_of(read)) == {path}


def test_the_status_reads_each_file_once(tmp_path, trials, read) -> None:
    runs = RunDirectory(tmp_path)
    ids = tuple(trial.id for trial in trials)
    state = state_of(recorded(ids, tmp_path), runs)
    assert state.done == ids
    assert find_strangers(runs) == []
    assert sorted(read) == sorted([*runs.score_files(), *map(runs.outcome_file, ids)])


def test_strangers_are_looked_for_in_files_that_are_new_or_have_changed(
    tmp_path, trials, read
) -> None:
    runs = RunDirectory(tmp_path)
    assert find_score_files(runs) == (runs.score_files(), [])
    assert read == runs.score_files()
    path, other = runs.score_files()[:2]
    path.write_bytes(other.read_bytes())
    read.clear()
    assert find_score_files(runs) == ([one for one in runs.score_files() if one != path], [path])
    assert read == [path]


def recorded(ids: tuple[str, ...], home: Path) -> Command:
    return Command("", (), str(home), time.time(), "trials", ids, {}, {})
