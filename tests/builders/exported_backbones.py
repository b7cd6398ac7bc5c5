"""Trials of a backbone on a small subject, and their encoding models."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.small_shards import write_shards
from orchestrator.export.__main__ import main as export
from tests.builders.listeners import Quiet
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Encoding, Objective, Roi, Trial
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner


def sweep_and_export(
    home: Path,
    backbone: Backbone,
    weights: Path,
    layer: str,
    objectives: Sequence[Objective],
    image_size: int = 32,
) -> tuple[Trial, ...]:
    """Run a trial of lh V1v for each objective, without Ray, and export their models.

    One layer is encoded, so that what the scores chose is known.
    """
    rois = write_shards(home / "data", n_images=48, image_size=image_size)
    return run_and_export(home, backbone, weights, layer, objectives, rois)


def run_and_export(
    home: Path,
    backbone: Backbone,
    weights: Path,
    layer: str,
    objectives: Sequence[Objective],
    rois: Sequence[Roi],
) -> tuple[Trial, ...]:
    """Run trials of the first ROI on data that is there, and export their models."""
    threads = torch.get_num_threads()
    backbone = replace(backbone, weights=weights_name(weights))
    encoding = Encoding(layers=(layer,), alphas=(1.0, 1e3), n_folds=3, n_components=20)
    trials = tuple(Trial(one, tuple(rois[:1]), backbone, encoding) for one in objectives)
    context = RunContext(DataDirectory(home / "data"), RunDirectory(home / "runs"), weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading, "stream", read_rows)
        runner = TrialRunner(context, torch.device("cpu"))
        assert all(runner.run(one, Quiet()).status == "finished" for one in trials)
        places = [("--runs", "runs"), ("--data", "data"), ("--out", "models")]
        given = [part for name, path in places for part in (name, str(home / path))]
        ids = [one.id for one in trials]
        assert export([*given, "--weights", str(weights), "--trials", *ids]) == 0
    torch.set_num_threads(threads)
    return trials


def exported(home: Path, trial: Trial) -> Path:
    """Return the directory of a trial's model."""
    [found] = (home / "models").glob(f"*-{trial.id[-8:]}")
    return found
