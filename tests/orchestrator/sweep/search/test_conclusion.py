"""What a search leaves: its table, files and figures say when responses are simulated; names."""

import io
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from rich.console import Console

from orchestrator.execution.narration import Narrator
from orchestrator.scores.display.style import SIMULATED
from orchestrator.sweep.search import conclusion
from orchestrator.sweep.search.conclusion import conclude
from orchestrator.sweep.search.round_runner import RoundRunner
from orchestrator.sweep.search.rounds import Progress
from orchestrator.tracking.identity import Sweep
from tests.builders.small_searches import SEARCH, VALUES, rois
from trainables.data.data_directory import DataDirectory
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory


@pytest.fixture
def progress(tmp_path) -> Progress:
    """A search of one round on one ROI, which has ended."""
    search = replace(SEARCH, n_configurations=4)
    found = Progress(search, "random", [rois()[2:3]], SEARCH.backbone, RunDirectory(tmp_path))
    [now] = list(found.rounds())
    found.write_round(now)
    for number, (_, trial) in enumerate(now.trials):
        history = (EpochReport(trial.objective.epochs, 1.0, 1.0, 1.0, number / 10),)
        Outcome(trial, "finished", "", "", float(number), {}, history).write(found.runs)
    return found


@pytest.mark.parametrize("simulated", [True, False])
def test_results_on_simulated_responses_are_marked(progress, tmp_path, monkeypatch, simulated):
    asked = []
    monkeypatch.setattr(
        conclusion, "any_simulated", lambda _, names: asked.extend(names) or simulated
    )
    sweep = Sweep("x", "space", DataDirectory(tmp_path), progress.runs, "fingerprint")
    output = io.StringIO()
    conclude(progress, sweep, Narrator(Console(file=output, width=120), "trials"))
    assert asked == ["nsd-subj01"]
    assert (f"{SIMULATED}: best configurations" in output.getvalue()) == simulated
    home = progress.home.path
    found = json.loads((home / "hyperparameters.json").read_text())["found"]
    assert found["is_simulated"] == simulated
    assert (SIMULATED in (home / "parallel.svg").read_text()) == simulated


def test_runs_of_a_search_are_named_by_what_differs_between_all_rounds():
    names: dict[str, str] = {}
    runner = RoundRunner(None, None, None, None, names)
    where = (rois()[1],)
    first, second = (
        [
            SEARCH.trial(VALUES | {"temperature": one} | rate, where, SEARCH.backbone)
            for one in temperatures
        ]
        for temperatures, rate in (((0.1, 0.2), {}), ((0.3, 0.4), {"learning_rate": 1e-3}))
    )
    runner.name(first)
    assert names[first[0].id] == "contrastive subj01 lh V2v τ=0.1"
    runner.name(second)
    assert len(names) == 4
    assert names[second[1].id] == "contrastive subj01 lh V2v rate=0.001 τ=0.4"
    assert all(a != b for a, b in pairwise(sorted(names.values())))
