"""The plan that a dry run prints: what is done, what is left, what it takes, what won't fit."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.small_shards import write_shards
from orchestrator.cli.text import duration
from orchestrator.cluster.worker_resources import WorkerResources
from orchestrator.execution import dry_run
from orchestrator.execution.cost import GIB, Costs
from orchestrator.execution.dry_run import SHOWN, show_plan
from orchestrator.execution.plan import Plan, make_plan
from orchestrator.execution.settings import Locations, RunSettings
from orchestrator.sweep.spaces import expand
from trainables.data.data_directory import DataDirectory
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import SCORE_SCHEMA, describe_scores
from trainables.spec import Backbone, Contrastive, Pooled, Trial, Untuned
from trainables.storage.atomic import write_parquet

BACKBONE = Backbone("narrow-alexnet", "sha256:0123456789abcdef")


def two_methods(rois):
    for roi in rois:
        yield Trial(Untuned(), (roi,), BACKBONE)
        yield Trial(Contrastive(), (roi,), BACKBONE)


@pytest.fixture
def planned(tmp_path) -> tuple[Path, list[Trial], Costs]:
    rois = write_shards(tmp_path / "data", ("subj01", "subj02"))
    return (
        tmp_path / "runs",
        expand(two_methods, rois, None),
        Costs.read(DataDirectory(tmp_path / "data"), gpus=False),
    )


def printed(plan: Plan, costs: Costs, concurrent: int | None = 2) -> str:
    stream = io.StringIO()
    settings = RunSettings(
        Locations(DataDirectory(Path("data")), RunDirectory(Path("runs"))),
        WorkerResources(max_concurrent=concurrent),
    )
    show_plan(plan, costs, settings, Console(file=stream, width=200, color_system=None))
    return stream.getvalue()


def test_the_plan_counts_trials_by_subject_and_method(planned) -> None:
    runs, trials, costs = planned
    text = printed(make_plan(trials, RunDirectory(runs), costs), costs)
    rows = [[part.strip() for part in line.strip("│ ").split("│")] for line in text.splitlines()]
    counted = [row[:4] for row in rows if row[0].startswith("nsd-")]
    assert counted == [
        ["nsd-subj01", "contrastive", "5", "0"],
        ["nsd-subj01", "untuned", "1", "0"],
        ["nsd-subj02", "contrastive", "5", "0"],
        ["nsd-subj02", "untuned", "1", "0"],
    ]
    assert "12 trials: 0 done, 12 to run; about" in text


def test_what_is_done_is_counted_and_not_in_the_time(planned) -> None:
    runs, trials, costs = planned
    for trial in trials:
        for roi in trial.rois:
            described = describe_scores(trial, "0")
            table = SCORE_SCHEMA.empty_table().replace_schema_metadata(described)
            write_parquet(RunDirectory(runs).score_file(trial.id, roi.id), table)
        Outcome(trial, "finished", "host", "cpu", 0.0, {}).write(RunDirectory(runs))
    text = printed(make_plan(trials, RunDirectory(runs), costs), costs)
    assert "12 trials: 12 done, 0 to run; about 0 s of work, 0 s with 2 at once" in text


def test_more_workers_than_trials_are_no_faster_than_the_longest_trial(planned) -> None:
    runs, trials, costs = planned
    plan = make_plan(trials, RunDirectory(runs), costs)
    longest = max(costs.estimate(one).seconds for one in trials)
    assert f", {duration(longest)} with 500 at once" in printed(plan, costs, 500)


def test_the_workers_of_a_cluster_are_not_counted_by_this_machine(planned, monkeypatch) -> None:
    runs, trials, costs = planned
    plan = make_plan(trials, RunDirectory(runs), costs)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert "--max-concurrent N shows the time with N at once" in printed(plan, costs, None)
    assert "with 2 at once" in printed(plan, costs, 2)


def test_more_at_once_take_less_time(planned) -> None:
    runs, trials, costs = planned
    costs = replace(costs, scale=1e6, _known={})
    plan = make_plan(trials, RunDirectory(runs), costs)
    times = [printed(plan, costs, n).split("of work, ")[1].split(" with")[0] for n in (1, 2)]
    assert float(times[0].split()[0]) == pytest.approx(2 * float(times[1].split()[0]), rel=0.01)


def test_the_basis_of_the_estimate_is_reported(planned) -> None:
    runs, trials, costs = planned
    plan = make_plan(trials, RunDirectory(runs), costs)
    assert "estimated from operation counts and a typical speed" in printed(plan, costs)
    corrected = replace(costs, scale=2.5, _known={})
    assert "finished trials (factor 2.5)" in printed(plan, corrected)


def test_small_trials_fit(planned, monkeypatch) -> None:
    runs, trials, costs = planned
    monkeypatch.setattr(dry_run, "_device_memory", lambda n: {"the device": 64 * GIB})
    assert "every trial fits the device (64.0 GiB)" in printed(
        make_plan(trials, RunDirectory(runs), costs), costs
    )


def test_trials_that_will_not_fit_are_named_with_their_need_and_the_cure(
    planned, monkeypatch
) -> None:
    runs, trials, costs = planned
    monkeypatch.setattr(dry_run, "_device_memory", lambda n: {"the device": 1000})
    plan = make_plan(trials * 1, RunDirectory(runs), costs)
    text = printed(plan, costs)
    assert "12 trials won't fit the device (0.0 GiB); lower --max-concurrent" in text
    assert all(trial.id in text for trial in plan.waiting)


def test_a_long_list_of_what_will_not_fit_is_cut_and_counted(planned, monkeypatch) -> None:
    runs, trials, costs = planned
    seeds = [replace(trial, seed=1) for trial in trials if trial.method != "untuned"]
    monkeypatch.setattr(dry_run, "_device_memory", lambda n: {"the device": 1000})
    text = printed(make_plan([*trials, *seeds], RunDirectory(runs), costs), costs)
    assert f"… and {22 - SHOWN} more" in text


def test_pooled_trials_are_counted_by_their_subjects_and_notes_are_shown(planned) -> None:
    runs, trials, costs = planned
    alike = tuple(trial.rois[0] for trial in trials if trial.rois[0].id.endswith("lh-V1v"))
    pooled = [Trial(Pooled(hidden_dim=h), alike[::2], BACKBONE) for h in ("mean", 9)]
    plan = replace(
        make_plan([*trials, *pooled], RunDirectory(runs), costs), notes=("nothing [is] pooled",)
    )
    assert plan.waiting[0].method.startswith("pooled")
    text = printed(plan, costs)
    rows = [[part.strip() for part in line.strip("│ ").split("│")] for line in text.splitlines()]
    counted = [row[:3] for row in rows if row[0] == "nsd, 2 subjects"]
    assert counted == [["nsd, 2 subjects", f"pooled-{name}", "1"] for name in ("avg", "const")]
    assert "nothing [is] pooled\n" in text


def test_workers_of_a_trial_leave_fewer_trials_at_once(planned, monkeypatch) -> None:
    runs, trials, costs = planned
    monkeypatch.setattr(dry_run.os, "sched_getaffinity", lambda pid: set(range(8)))
    text = printed(make_plan(trials, RunDirectory(runs), costs), replace(costs, workers=4), None)
    assert "with 2 at once" in text
    assert "shared by 8" in text


def test_showing_a_plan_writes_nothing(planned) -> None:
    runs, trials, costs = planned
    printed(make_plan(trials, RunDirectory(runs), costs), costs)
    assert not runs.exists()
