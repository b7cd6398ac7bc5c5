"""The closing lines of a run: where its results are, what failed, and no secret."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from orchestrator.execution.narration import Narrator, names_of
from tests.builders.known_trials import ROI, TRIAL
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive

PASSWORD = "c0rrect-h0rse"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def narrator(stream: io.StringIO) -> Narrator:
    return Narrator(Console(file=stream, width=200, color_system=None), "trials")


@pytest.mark.parametrize(
    "address",
    [
        f"http://lab:{PASSWORD}@host:5000",
        f"http://lab:a/{PASSWORD}@host:5000",
        f"postgresql://host/mlflow?user=lab&password={PASSWORD}",
    ],
)
def test_the_closing_line_names_the_store_without_its_password(
    tmp_path: Path,
    narrator: Narrator,
    stream: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    narrator.locate(RunDirectory(tmp_path), "nsd")
    [line] = [line for line in stream.getvalue().splitlines() if line.startswith("MLflow: ")]
    assert "***" in line
    assert line.endswith(", experiment nsd (mlflow ui shows it)")
    assert PASSWORD not in stream.getvalue()


def test_errors_and_warnings_are_listed_without_secrets(
    narrator: Narrator, stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", PASSWORD)
    narrator.list_missing(
        {"a": f"ValueError: no access with {PASSWORD}"},
        ["b"],
        [f"MLflow: {PASSWORD} refused"],
        {"a": "contrastive subj01 lh V1v τ=0.1"},
    )
    assert (
        "  a (contrastive subj01 lh V1v τ=0.1): ValueError: no access with ***\n"
        in stream.getvalue()
    )
    assert "MLflow: *** refused" in stream.getvalue()
    assert PASSWORD not in stream.getvalue()


def test_closing_tables_that_cannot_be_made_are_one_line(
    narrator: Narrator, stream: io.StringIO
) -> None:
    def closing() -> list[str]:
        raise ValueError("runs/scores/x.parquet:\n  damaged")

    narrator.show(closing)
    assert stream.getvalue() == ("no closing tables (ValueError: runs/scores/x.parquet: damaged)\n")


def test_trials_are_named_by_what_differs_and_all_names_are_different() -> None:
    trials = [
        replace(TRIAL, seed=seed, objective=Contrastive(temperature=temperature))
        for temperature in (0.1, 1.0)
        for seed in (0, 2)
    ]
    again = replace(trials[0], rois=(replace(ROI, data="feedbeef"),))
    where = f"contrastive {ROI.subject} {ROI.hemisphere} {ROI.name}"
    names = names_of(trials, "utf-8")
    assert names[trials[1].id] == f"{where} τ=0.1 seed 2"
    assert names_of(trials, "ascii")[trials[2].id] == f"{where} temp=1 seed 0"
    both = names_of([*trials, again], "utf-8")
    assert len(set(both.values())) == 5
    assert both[again.id].endswith(again.id)
