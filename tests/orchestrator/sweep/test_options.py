"""Flags of a sweep and the settings that they make."""

import pytest

from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep.settings import SweepSettings


@pytest.mark.parametrize(("flags", "kept"), [([], True), (["--no-predictions"], False)])
def test_predictions_are_kept_unless_asked(flags, kept, monkeypatch) -> None:
    settings: list[SweepSettings] = []
    monkeypatch.setattr("orchestrator.sweep.run.sweep", lambda given, _: settings.append(given))
    assert sweep.main(["paper", *flags]) == 0
    assert [given.run.options.keep_predictions for given in settings] == [kept]
