"""Networks of timm from trial to encoding model: tuned, encoded, exported, loaded, predicting.

The oracle computes features by timm alone: its own construction, scale of pixels and intermediates.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from timm.data import resolve_model_data_config

from benchmarks.small_shards import write_shards
from orchestrator.encoding_models import load_model
from orchestrator.encoding_models.config import BACKBONE, PCA, READOUT
from orchestrator.export.__main__ import main as export
from tests.builders.listeners import Quiet
from tests.builders.timm_backbones import NAMES, NETWORKS, SIZE, Network
from trainables.data import loading
from trainables.data.data_directory import DataDirectory
from trainables.data.rows import read_rows
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import Encoding, Regression, Trial, Untuned
from trainables.worker.context import RunContext
from trainables.worker.runner import TrialRunner

N_IMAGES = 48
INTERMEDIATE = {"vit": 3, "convnext": 1, "resnet": 1, "efficientnet": 2}
"""Number of timm's intermediate that is the first layer of each network."""


@dataclass(frozen=True)
class Run:
    """A network's trials, and the models that were exported of them."""

    home: Path
    network: Network
    number: int
    trials: tuple[Trial, ...]

    def model(self, trial: Trial) -> Path:
        [found] = (self.home / "models").glob(f"*-{trial.method}-*")
        return found


@pytest.fixture(scope="module", params=NETWORKS, ids=NAMES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    network: Network = request.param
    home = tmp_path_factory.mktemp("timm")
    threads = torch.get_num_threads()
    rois = write_shards(home / "data", n_images=N_IMAGES, image_size=SIZE)
    weights = home / "weights.safetensors"
    save_file(network.build().state_dict(), weights)
    backbone = replace(network.backbone, weights=weights_name(weights))
    # One layer, so that the oracle knows which the scores chose.
    encoding = Encoding(layers=network.layers[:1], alphas=(1.0, 1e3), n_folds=3, n_components=20)
    tuning = Regression(epochs=1, batch_size=18)
    trials = tuple(Trial(one, rois[:1], backbone, encoding) for one in (Untuned(), tuning))
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
    return Run(home, network, INTERMEDIATE[NAMES[NETWORKS.index(network)]], trials)


def features_by_timm(run: Run, model: Path, images: torch.Tensor) -> torch.Tensor:
    """Read the layer by timm alone, with the weights of an exported model."""
    options = {"dynamic_img_size": True} if "vit" in run.network.architecture else {}
    network = timm.create_model(run.network.architecture.removeprefix("timm/"), **options).eval()
    network.load_state_dict(load_file(model / BACKBONE))
    config = resolve_model_data_config(network)
    mean, std = (torch.tensor(config[one]).view(1, 3, 1, 1) for one in ("mean", "std"))
    with torch.no_grad():
        [found] = network.forward_intermediates(
            (images / 255 - mean) / std, indices=[run.number], intermediates_only=True
        )
    return found.flatten(1)


def expected(run: Run, model: Path, images: torch.Tensor) -> NDArray[np.float32]:
    pca, readout = load_file(model / PCA), load_file(model / READOUT)
    components = (features_by_timm(run, model, images) - pca["mean"]) @ pca["basis"]
    found = components @ readout["coefficients"] * readout["scale"] + readout["intercept"]
    return found.numpy()


def test_an_exported_model_predicts_what_timm_s_own_features_predict(run: Run) -> None:
    images = loading.read_images(run.home / "data" / "nsd-subj01", torch.device("cpu"))
    for trial in run.trials:
        path = run.model(trial)
        found = load_model(path).predict(images)
        np.testing.assert_allclose(found, expected(run, path, images), rtol=1e-3, atol=1e-3)
        assert found.std(axis=0).min() > 0.01


def test_fine_tuning_changes_the_weights_and_the_model_says_how_pixels_are_scaled(run) -> None:
    untuned, tuned = (load_model(run.model(one)) for one in run.trials)
    states = [one.backbone.state_dict() for one in (untuned, tuned)]
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])
    config = timm.get_pretrained_cfg(run.network.architecture.removeprefix("timm/"))
    for model in (untuned, tuned):
        assert model.config.preprocessing.scale == (config.mean, config.std)
        assert model.config.architecture == run.network.architecture


def test_a_model_that_is_saved_and_loaded_again_predicts_the_same(run, tmp_path) -> None:
    images = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
    model = load_model(run.model(run.trials[1]))
    model.save_pretrained(tmp_path / "again")
    np.testing.assert_array_equal(load_model(tmp_path / "again").predict(images),
                                  model.predict(images))  # fmt: skip


def test_scores_are_those_of_both_trials(run: Run) -> None:
    for trial in run.trials:
        scores = read_scores(RunDirectory(run.home / "runs"), trial.id)
        assert np.isfinite(scores["r"].to_numpy()).all()
        assert set(scores["layer"].to_pylist()) == {run.network.layers[0]}
