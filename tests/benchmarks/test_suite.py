"""The check that no benchmark has fallen."""

import json
from pathlib import Path

import pytest

from benchmarks.suite import fallen


@pytest.mark.parametrize(
    ("runs", "code"), [([9.0, 10.0, 11.0], 0), ([5.0, 6.5], 0), ([4.0, 6.2], 1)]
)
def test_a_claim_falls_when_its_best_run_is_far_below_the_worst_before(
    runs: list[float], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"claims": {"one": [9.0, 10.0, 12.0]}}))
    assert fallen({"one": runs}, baseline) == code
    assert ("fallen: one" in capsys.readouterr().out) is bool(code)
