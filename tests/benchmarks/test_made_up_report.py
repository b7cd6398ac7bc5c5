"""The made-up sweep fills the sections of the report, and its planted gains are found."""

import os

import pytest

from benchmarks.made_up_report import analyse, write_made_up
from benchmarks.made_up_scores import GAINS
from orchestrator.report.headline import headline


@pytest.mark.slow
def test_analyses_are_made_and_the_planted_gains_are_found(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    inputs = write_made_up(tmp_path, 2, ("V1v", "PPA"))
    states = {one.name: one.state for one in analyse(inputs)}
    assert [name for name, state in states.items() if state != "made"] == ["variance", "ood"]
    rows = [row for row in headline(inputs).rows if row[0] == "nested" and row[4] != "–"]
    found = {(row[2], row[1]): float(row[4]) for row in rows if (row[2], row[1]) in GAINS}
    planted = {key: gain for key, gain in GAINS.items() if key[0] not in ("untuned", "transfer")}
    assert found == pytest.approx(planted, abs=0.015)
    assert inputs.all_scores.is_simulated
