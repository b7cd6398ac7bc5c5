"""Predictions through a whole sweep, and the statistics that a user asks of them."""

from dataclasses import replace

import pytest

from orchestrator.scores.__main__ import main
from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep.settings import SweepSettings
from tests.builders.sweep_process import Lab

SECRETS = (
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "RAY_AUTH_TOKEN",
)


@pytest.mark.ray
def test_a_sweep_keeps_predictions_that_can_be_tested_and_no_secret(
    tmp_path, capsys, monkeypatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, f"secret-of-{name}")
    lab, runs = replace(Lab.make(tmp_path, epochs=1), dashboard=True), tmp_path / "runs"
    try:
        message = lab.finish(runs, "--rois", "V1v", "--hemispheres", "lh")
    finally:
        lab.end()
    assert "Ray dashboard: http://127.0.0.1:" in message
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20
    assert not any(b"secret-of-" in content for content in (*written, message.encode()))
    kept = sorted(path.relative_to(runs / "predictions") for path in runs.glob("predictions/*/*"))
    scored = sorted(path.relative_to(runs / "scores") for path in runs.glob("scores/*/*"))
    assert kept == scored
    assert len(kept) == 2  # untuned and contrastive
    asked = ["--compare", "contrastive", "untuned", "--stats", "--draws", "50"]
    assert main(["--out", str(runs), *asked]) == 0
    shown = capsys.readouterr().out
    assert "Over test images" in shown
    assert "not available" not in shown


@pytest.mark.parametrize(("flags", "kept"), [([], True), (["--no-predictions"], False)])
def test_predictions_are_kept_unless_asked(flags, kept, monkeypatch) -> None:
    settings: list[SweepSettings] = []
    monkeypatch.setattr("orchestrator.sweep.run.sweep", lambda given, _: settings.append(given))
    assert sweep.main(["paper", *flags]) == 0
    assert [given.run.options.keep_predictions for given in settings] == [kept]
