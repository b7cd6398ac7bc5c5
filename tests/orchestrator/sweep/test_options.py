"""Flags of a sweep and the settings that they make."""

import pytest

from orchestrator.execution import ray_executor
from orchestrator.execution.ray_executor import local_cpus
from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep import demo
from orchestrator.sweep.settings import SweepSettings


@pytest.mark.parametrize(("flags", "kept"), [([], True), (["--no-predictions"], False)])
def test_predictions_are_kept_unless_asked(flags, kept, monkeypatch) -> None:
    settings: list[SweepSettings] = []
    monkeypatch.setattr("orchestrator.sweep.run.sweep", lambda given, _: settings.append(given))
    assert sweep.main(["paper", *flags]) == 0
    assert [given.run.options.keep_predictions for given in settings] == [kept]


@pytest.mark.parametrize(("flags", "is_asked"), [([], True), (["--no-dashboard"], False)])
def test_the_ray_that_makes_the_demonstrations_data_is_that_of_the_sweep(
    flags, is_asked, monkeypatch, tmp_path
) -> None:
    asked: list[dict[str, object]] = []

    def connect(num_cpus: int, **options: object) -> None:
        asked.append({"num_cpus": num_cpus, **options})

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ray_executor, "connect", connect)
    monkeypatch.setattr(demo, "prepare_demo", lambda home, console, connect: connect())
    assert sweep.main(["demo", *flags]) == 2  # for lack of data
    assert asked == [{"num_cpus": local_cpus(), "include_dashboard": is_asked}]
