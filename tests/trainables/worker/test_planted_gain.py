"""Contrastive fine-tuning on a simulated subject: a gain where it was planted, none where not.

hV4 of the simulation responds to curves of texture edges, which no single layer of filters gives;
V1v to energy, which the first layer of the pretrained backbone predicts.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.dataset as pads
import pytest
import torch

from orchestrator.ingest.simulate.algonauts import SimulationSettings, simulate
from orchestrator.ingest.simulate.pretrained_weights import (
    PretrainingSettings,
    make_weights,
    read_accuracy,
)
from tests.builders.listeners import Quiet
from tests.trainables.worker.test_controls import ingest
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Contrastive, Encoding, Trial, Untuned
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

PRETRAINING = PretrainingSettings(n_test=100)
TUNED = Contrastive(learning_rate=1e-3, batch_size=64, epochs=8)
ENCODING = Encoding(layers=("features.2", "features.5", "features.9", "features.12"), n_folds=3)
N_IMAGES = 900
GAIN = 0.01
"""Least gain in mean r. Of subjects 1 to 5, with seeds 0 to 4, hV4's was 0.036, 0.062, 0.032, 0.056
and 0.057 over untuned (0.049 ± 0.013), and 0.014 to 0.083 over the permuted control."""
EQUAL = 0.03
"""Least difference in mean r that is taken for one: V1v's was 0.010 ± 0.006, the permuted control's
-0.001 ± 0.023 (from -0.027 to 0.027: it is no better than untuned, and not always worse)."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def trials(home: Path, seed: int) -> Iterator[Trial]:
    """Yield trials of V1v and hV4: untuned and contrastive, and of hV4 the permuted control."""
    backbone = Backbone("narrow-alexnet", weights_name(home / "weights.safetensors"))
    for roi in list_rois(DataDirectory(home / "data")):
        if roi.hemisphere == "lh" and roi.name in ("V1v", "hV4"):
            tuned = Trial(TUNED, (roi,), backbone, ENCODING, seed=seed)
            yield replace(tuned, objective=Untuned(), seed=0)
            yield tuned
            if roi.name == "hV4":
                yield replace(tuned, permuted=True)


def mean_scores(home: Path, subject: int, seed: int) -> dict[str, float]:
    """Simulate a subject, run its trials on the pretrained backbone, and average r of each."""
    simulate(home / "source", SimulationSettings((subject,), n_images=N_IMAGES, n_shared=20))
    ingest(home / "source", home / "data")
    make_weights(home / "weights.safetensors", PRETRAINING)
    runs = RunDirectory(home / "runs")
    context = RunContext(DataDirectory(home / "data"), runs, home / "weights.safetensors")
    runner, found = TrialRunner(context, torch.device("cpu")), {}
    for trial in trials(home, seed):
        runner.run(trial, Quiet())
        (roi,) = trial.rois
        r = pads.dataset(runs.score_file(trial.id, roi.id)).to_table()["r"]
        found[f"{trial.method} {roi.name}"] = pc.mean(r).as_py()
    return found


def test_tuning_gains_where_planted_and_neither_elsewhere_nor_on_permuted_responses(
    tmp_path: Path,
) -> None:
    r = mean_scores(tmp_path, subject=1, seed=0)
    # The stand-in for ImageNet's weights has learned its classes: chance is 1 / 8, 0.71 was found.
    assert read_accuracy(tmp_path / "weights.safetensors") > 0.55
    assert r["contrastive hV4"] - r["untuned hV4"] > GAIN, r
    assert abs(r["contrastive V1v"] - r["untuned V1v"]) < EQUAL, r
    assert r["permuted-contrastive hV4"] - r["untuned hV4"] < EQUAL, r
    assert r["contrastive hV4"] - r["permuted-contrastive hV4"] > GAIN, r
