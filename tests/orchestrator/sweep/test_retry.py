"""Consent to the code of a command that a run directory records, before it is repeated."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.execution.run_record import Command
from orchestrator.sweep import __main__ as sweep
from orchestrator.sweep.status import Retry
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Roi, Trial, Untuned

TRIAL = Trial(Untuned(), (Roi("nsd", "subj01", "lh", "V1v", 50, "data"),))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A sweep of a search space of a file, whose only trial has failed."""
    found = RunDirectory(tmp_path / "runs")
    places = ("space.py", "--out", "runs"), str(tmp_path), time.time() - 100
    Command("orchestrator.sweep", *places, "trials", (TRIAL.id,), {}, {}).write(found)
    Outcome(TRIAL, "failed", "a", "cpu", time.time(), {}, error="ValueError: no").write(found)
    return found.path


def test_retry_of_another_user_s_code_asks_for_consent(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The record of a search space of a file, or of consent, is not taken as the user's own."""
    marker = tmp_path / "executed"
    code = f"open({str(marker)!r}, 'w')\ndef trials(rois):\n    return []\n"
    (runs.parent / "space.py").write_text(code)
    monkeypatch.chdir(runs)
    monkeypatch.setattr("orchestrator.sweep.run.sweep", lambda settings, _: None)
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "of another machine"))
    assert sweep.main(["retry", "--out", str(runs)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "runs code: python -m orchestrator.sweep space.py --out runs" in line
    assert line.endswith("if you trust the code, give --trust-code")
    assert not marker.exists()
    assert sweep.main(["retry", "--out", str(runs), "--trust-code"]) == 0
    assert marker.exists()


@pytest.mark.parametrize("directory", ["results", "{home}/results"])
def test_retry_changes_to_no_directory_that_another_user_recorded(
    tmp_path: Path,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    directory: str,
) -> None:
    """Modules in the directory, such as torch.py, would be imported by Ray's workers."""
    (tmp_path / "results").mkdir()
    place = directory.format(home=tmp_path)
    command = replace(
        Command.read(RunDirectory(runs)), arguments=("paper", "--out", str(runs)), directory=place
    )
    command.write(RunDirectory(runs))
    ran_in = []
    monkeypatch.setattr("orchestrator.sweep.run.sweep", lambda *_: ran_in.append(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "of another machine"))
    retry = ["retry", "--out", str(runs)]
    assert sweep.main(retry) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert f"in {place}, imports modules from there: python -m orchestrator.sweep paper" in line
    assert "there is no record that you started it on this machine" in line
    assert Path.cwd() == tmp_path
    assert ran_in == []
    assert sweep.main([*retry, "--trust-code"]) == 0
    assert ran_in == [tmp_path / "results"]


def test_retry_repeats_a_command_of_the_present_directory_or_of_the_user(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another machine, from the directory of the command; on the same one, from anywhere."""
    found = RunDirectory(runs)
    command = replace(Command.read(found), arguments=("paper", "--out", "runs"))
    command.write(found)
    monkeypatch.chdir(runs)
    command.require_own(found)
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "of another machine"))
    with pytest.raises(InputError, match="run this in that directory, or if you trust what is in"):
        command.require_own(found)
    monkeypatch.chdir(tmp_path)
    command.require_own(found)
    with pytest.raises(InputError, match="runs code"):
        replace(command, arguments=("space.py",)).require_own(found)


def test_retry_asks_for_consent_only_where_it_runs_code_of_files(runs: Path) -> None:
    found = Command.read(RunDirectory(runs))
    assert not replace(found, arguments=("paper", "--out", "runs")).names_code
    for arguments in (("my.py",), ("rois", "--trust-code"), ("paper", "--backbone=net.py:build")):
        assert replace(found, arguments=arguments).names_code
    evaluation = replace(found, module="orchestrator.evaluate", arguments=("rois",))
    assert Retry(evaluation, None, trust_code=True).arguments == ("rois", "--trust-code")
    assert Retry(found, None, trust_code=True).arguments == found.arguments
