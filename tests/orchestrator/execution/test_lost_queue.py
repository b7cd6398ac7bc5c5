"""Work whose queue is lost: what is left of it goes on, and what has ended is mirrored."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.cluster.job_runner import QueueLost
from orchestrator.execution.plan import Plan, make_plan
from orchestrator.execution.ray_executor import MAX_QUEUES, RayExecutor
from orchestrator.execution.settings import Locations, RunSettings
from orchestrator.sweep.spaces import expand
from tests.builders.planned_rois import COSTS, rois, three_methods
from trainables.data.data_directory import DataDirectory
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, describe_scores
from trainables.spec.evaluation import WorkItem
from trainables.storage.atomic import write_parquet


class Monitored:
    """A monitor and its tracker, which note what they hear."""

    def __init__(self) -> None:
        self.tracker = self
        self.mirrored: list[str] = []
        self.said: list[str] = []
        self.failures: dict[str, str] = {}

    def due(self, trial_ids: list[str]) -> None:
        self.mirrored += trial_ids

    def say(self, text: str) -> None:
        self.said.append(text)


def finish(runs: RunDirectory, trial: WorkItem) -> None:
    table = SCORE_SCHEMA.empty_table().replace_schema_metadata(describe_scores(trial, code=""))
    for roi in trial.rois:
        write_parquet(runs.score_file(trial.id, roi.id), table)
    Outcome(trial, "finished", "host", "cpu", 0.0, {}).write(runs)


@pytest.fixture
def executor(tmp_path: Path) -> RayExecutor:
    locations = Locations(DataDirectory(tmp_path / "data"), RunDirectory(tmp_path / "runs"))
    return RayExecutor(RunSettings(locations), COSTS)


def test_what_ended_before_the_queue_was_lost_is_mirrored_and_the_rest_goes_on(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, asked = executor.settings.runs, list[tuple[str, ...]]()

    def run_once(self: RayExecutor, plan: Plan, monitor: Any) -> None:
        asked.append(tuple(one.id for one in plan.waiting))
        if len(asked) == 1:
            finish(runs, plan.waiting[0])
            raise QueueLost("the process of the trial queue has ended")

    monkeypatch.setattr(RayExecutor, "_run_once", run_once)
    plan, monitor = make_plan(expand(three_methods, rois(1), None), runs, COSTS), Monitored()
    assert executor.run(plan, monitor) == {}  # type: ignore[arg-type]
    assert asked[1] == asked[0][1:]
    assert monitor.mirrored == [asked[0][0]]
    assert monitor.said == ["the process of the trial queue has ended; continuing with a new one"]


def test_a_queue_that_is_lost_again_and_again_ends_the_command(
    executor: RayExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_once(self: RayExecutor, plan: Plan, monitor: Any) -> None:
        raise QueueLost("gone")

    monkeypatch.setattr(RayExecutor, "_run_once", run_once)
    trials = expand(three_methods, rois(1), None)
    plan = make_plan(trials, executor.settings.runs, COSTS)
    with pytest.raises(InputError, match=f"has ended {MAX_QUEUES} times"):
        executor.run(plan, Monitored())  # type: ignore[arg-type]
