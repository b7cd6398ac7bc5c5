"""MLflow's store is opened once a run is sure to start, and not by one that is refused."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import MagicMock, Mock

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.execution import local_executor, ray_executor, session
from orchestrator.execution.local_executor import LocalExecutor
from orchestrator.execution.ray_executor import RayExecutor
from orchestrator.execution.session import Session
from orchestrator.execution.settings import Locations, RunSettings
from orchestrator.sweep.search import round_runner
from orchestrator.sweep.search.round_runner import RoundRunner
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory

PLAN = MagicMock(waiting=(MagicMock(),), trials=())
REFUSED = InputError("no node has a GPU")


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(Locations(DataDirectory(tmp_path / "data"), RunDirectory(tmp_path / "runs")))


@pytest.fixture
def tracker(monkeypatch) -> Mock:
    """A tracker, beside which no group, trial or display is started."""
    for module in (ray_executor, round_runner):
        monkeypatch.setattr(module, "warm_queue", lambda *_, **__: nullcontext(MagicMock(n=1)))
    for name in ("run_jobs", "round_robin", "outcomes", "describe_utilisation", "connect"):
        monkeypatch.setattr(ray_executor, name, MagicMock())
    for name in ("connect_to_ray", "read_costs"):
        monkeypatch.setattr(round_runner, name, MagicMock())
    for name in ("TrialRunner", "run_context_of"):
        monkeypatch.setattr(local_executor, name, MagicMock())
    return Mock()


def on_ray(settings: RunSettings, tracker: Mock) -> None:
    RayExecutor(settings, MagicMock()).run(PLAN, MagicMock(tracker=tracker))


def in_this_process(settings: RunSettings, tracker: Mock) -> None:
    LocalExecutor(settings).run(PLAN, MagicMock(tracker=tracker))


def in_a_search(settings: RunSettings, tracker: Mock) -> None:
    progress = MagicMock(largest=lambda: [0], rounds=list, regions=[0])
    progress.search.per_round = 1
    RoundRunner(settings, progress, MagicMock(), tracker, {})._run_rounds()


@pytest.mark.parametrize("run", [on_ray, in_this_process, in_a_search])
def test_a_run_opens_the_store_before_a_trial_has_ended(settings, tracker, run: Callable) -> None:
    run(settings, tracker)
    assert tracker.mock_calls[0][0] == "prepare"


@pytest.mark.parametrize("run", [on_ray, in_a_search])
def test_a_run_whose_groups_do_not_fit_opens_no_store(
    settings, tracker, run: Callable, monkeypatch
) -> None:
    for module in (ray_executor, round_runner):
        monkeypatch.setattr(module, "warm_queue", Mock(side_effect=REFUSED))
    with pytest.raises(InputError, match=str(REFUSED)):
        run(settings, tracker)
    assert tracker.mock_calls == []


def test_a_session_leaves_the_opening_to_its_executor(settings, monkeypatch) -> None:
    tracker, executor = Mock(), Mock(run=Mock(side_effect=REFUSED))
    for name in ("Narrator", "names_of", "Monitor", "mean_r"):
        monkeypatch.setattr(session, name, MagicMock())
    monkeypatch.setattr(session, "outcomes", lambda *_: [])
    monkeypatch.setattr(session, "start_tracker", lambda *_: tracker)
    monkeypatch.setattr(session, "executor_for", lambda *_: executor)
    monkeypatch.setattr(session, "removing_unkept", lambda settings, plan: nullcontext(settings))
    for name in ("_tracked", "_write_record", "_numbers"):
        monkeypatch.setattr(Session, name, MagicMock())
    with pytest.raises(InputError, match=str(REFUSED)):
        Session(settings, PLAN, MagicMock(), MagicMock(), MagicMock()).run(MagicMock())
    assert executor.connect.called
    assert [name for name, *_ in tracker.mock_calls] == ["due", "close"]
