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

from orchestrator.encoding_models import EncodingModel, load_model
from orchestrator.encoding_models.config import BACKBONE, PCA, READOUT
from tests.builders.exported_backbones import exported, sweep_and_export
from tests.builders.timm_backbones import NAMES, NETWORKS, SIZE, Network
from trainables.data import loading
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import Regression, Trial, Untuned

INTERMEDIATE = {"vit": 3, "convnext": 1, "resnet": 1, "efficientnet": 2}
"""Number of timm's intermediate that is the first layer of each network."""


@dataclass(frozen=True)
class Run:
    """A network's trials, and the models that were exported of them."""

    home: Path
    network: Network
    number: int
    trials: tuple[Trial, ...]
    models: tuple[EncodingModel, ...]


@pytest.fixture(scope="module", params=NETWORKS, ids=NAMES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    network: Network = request.param
    home = tmp_path_factory.mktemp("timm")
    weights = home / "weights.safetensors"
    save_file(network.build().state_dict(), weights)
    tuning = Regression(epochs=1, batch_size=18)
    tunes = ("all", f"from:{network.late}", "lora:2")
    objectives = (Untuned(), *(replace(tuning, tune=one) for one in tunes))
    trials = sweep_and_export(home, network.backbone, weights, network.layers[0], objectives)
    loaded = tuple(load_model(exported(home, one)) for one in trials)
    return Run(home, network, INTERMEDIATE[NAMES[NETWORKS.index(network)]], trials, loaded)


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
    for number in (0, 3):  # untuned, and tuned by adapters that were merged
        path = exported(run.home, run.trials[number])
        found = run.models[number].predict(images)
        np.testing.assert_allclose(found, expected(run, path, images), rtol=1e-3, atol=1e-3)
        assert found.std(axis=0).min() > 0.01


def test_fine_tuning_changes_what_is_tuned_and_the_model_names_the_scale_of_pixels(run) -> None:
    untuned, whole, late, lora = run.models
    first = next(iter(untuned.backbone.state_dict()))
    before = untuned.backbone.state_dict()
    changed = [
        {
            name
            for name, value in one.backbone.state_dict().items()
            if not torch.equal(value, before[name])
        }
        for one in (whole, late, lora)
    ]
    assert all(changed)
    assert changed[1] < changed[0]
    assert first in changed[0] - changed[1]
    assert not any("lora" in name or name not in before for one in changed for name in one)
    config = timm.get_pretrained_cfg(run.network.architecture.removeprefix("timm/"))
    for model in (untuned, whole, late, lora):
        assert model.config.preprocessing.scale == (config.mean, config.std)
        assert model.config.architecture == run.network.architecture


def test_a_model_that_is_saved_and_loaded_again_predicts_the_same(run, tmp_path) -> None:
    images = torch.randint(0, 256, (4, 3, SIZE, SIZE), dtype=torch.uint8)
    model = run.models[3]
    model.save_pretrained(tmp_path / "again")
    np.testing.assert_array_equal(load_model(tmp_path / "again").predict(images),
                                  model.predict(images))  # fmt: skip


def test_scores_are_those_of_all_trials(run: Run) -> None:
    for trial in run.trials:
        scores = read_scores(RunDirectory(run.home / "runs"), trial.id)
        assert np.isfinite(scores["r"].to_numpy()).all()
        assert set(scores["layer"].to_pylist()) == {run.network.layers[0]}
