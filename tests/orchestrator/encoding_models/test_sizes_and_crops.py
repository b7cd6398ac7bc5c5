"""Images of a further size, with a crop, from ingest to predictions.

The oracle is timm alone: its own transform of the original pictures, and its own features.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform

from orchestrator.encoding_models import load_model
from orchestrator.encoding_models.config import BACKBONE, CARD, PCA, READOUT
from orchestrator.ingest.__main__ import main as ingest
from orchestrator.predict.__main__ import main as predict
from tests.builders.algonauts_folder import write_folder
from tests.builders.decoding import decode_in_process
from tests.builders.exported_backbones import exported, run_and_export
from tests.builders.timm_backbones import RESNET
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.spec import Contrastive, Trial, Untuned

STORED, SEEN = 40, 32


@dataclass(frozen=True)
class Made:
    """Trials of a network that sees the centre of images of a further size, and their models."""

    home: Path
    interpolation: str
    trials: tuple[Trial, ...]

    @property
    def pictures(self) -> list[Path]:
        return sorted((self.home / "source/subj01/training_split/training_images").iterdir())


@pytest.fixture(scope="module", params=["bilinear", "bicubic"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("sizes")
    write_folder(home / "source", n_images=40)
    with pytest.MonkeyPatch.context() as patch:
        decode_in_process(patch)
        options = ["--image-size", f"16,{STORED}", "--interpolation", request.param]
        command = ["algonauts", str(home / "source"), "--out", str(home / "data"), *options]
        assert ingest(command) == 0
    weights = home / "weights.safetensors"
    save_file(RESNET.build().state_dict(), weights)
    backbone = replace(RESNET.backbone, image_size=STORED, crop=SEEN)
    tuned = (Contrastive(epochs=1, batch_size=18),) if request.param == "bilinear" else ()
    rois = list_rois(DataDirectory(home / "data"))
    trials = run_and_export(home, backbone, weights, "layer1", (Untuned(), *tuned), rois)
    return Made(home, request.param, trials)


def expected(made: Made, model: Path) -> np.ndarray:
    """Predict the pictures by timm's transform and features, and the files of a model."""
    network = timm.create_model(RESNET.architecture.removeprefix("timm/")).eval()
    network.load_state_dict(load_file(model / BACKBONE))
    scale = dict(zip(("mean", "std"), RESNET.backbone.scale, strict=True))
    transform = create_transform(
        SEEN, crop_pct=SEEN / STORED, interpolation=made.interpolation, is_training=False, **scale
    )
    images = torch.stack([transform(Image.open(one).convert("RGB")) for one in made.pictures])
    with torch.no_grad():
        [found] = network.forward_intermediates(images, indices=[1], intermediates_only=True)
    pca, readout = load_file(model / PCA), load_file(model / READOUT)
    components = (found.flatten(1) - pca["mean"]) @ pca["basis"]
    return (components @ readout["coefficients"] * readout["scale"] + readout["intercept"]).numpy()


def test_a_model_predicts_pictures_as_timm_transforms_them(made: Made) -> None:
    for trial in made.trials:
        path = exported(made.home, trial)
        found = load_model(path).predict(made.pictures)
        np.testing.assert_allclose(found, expected(made, path), rtol=1e-3, atol=1e-3)
        assert found.std(axis=0).min() > 1e-3


def test_the_model_says_what_becomes_of_an_image(made: Made) -> None:
    path = exported(made.home, made.trials[0])
    given = load_model(path).config.preprocessing
    assert (given.resizing, given.crop) == ((STORED, made.interpolation), SEEN)
    assert f"resized to {STORED} x {STORED} pixels, then the centre of" in (path / CARD).read_text()
    content = made.trials[0].backbone.content
    assert (content["image_size"], content["crop"]) == (STORED, SEEN)


def test_shards_and_the_pictures_themselves_give_the_same_predictions(
    made: Made, tmp_path: Path, capsys
) -> None:
    shard, models = made.home / "data/nsd-subj01", str(made.home / "models")
    tables = []
    for name, images in (("shard", shard), ("folder", made.pictures[0].parent)):
        out = tmp_path / f"{name}.parquet"
        assert predict([models, "--images", str(images), "--out", str(out), "--local"]) == 0
        tables.append(pq.read_table(out).to_pandas())
    for trial in made.trials:
        name = exported(made.home, trial).name
        np.testing.assert_allclose(*(np.stack(one[name]) for one in tables), rtol=1e-4, atol=1e-4)


def test_shards_without_the_model_s_size_are_refused(made: Made, tmp_path, monkeypatch, capsys):
    decode_in_process(monkeypatch)
    source, data = str(made.home / "source"), str(tmp_path / "data")
    assert ingest(["algonauts", source, "--out", data, "--image-size", "16"]) == 0
    capsys.readouterr()
    command = [str(made.home / "models"), "--images", f"{data}/nsd-subj01"]
    assert predict([*command, "--out", str(tmp_path / "out.parquet")]) == 2
    how = "" if made.interpolation == "bilinear" else " (bicubic)"
    message = f"images of 16 x 16 pixels, a model takes 40 x 40 pixels{how}; give the folder"
    assert message in capsys.readouterr().err
