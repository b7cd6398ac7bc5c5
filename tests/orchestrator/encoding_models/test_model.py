"""An encoding model in a notebook: what it takes, what it says of itself, and what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from orchestrator.encoding_models import EncodingModel, encode, get_encoding_model, load_model
from orchestrator.encoding_models.config import BACKBONE, CONFIG, PCA, READOUT, find_models
from orchestrator.encoding_models.shared_backbone import SharedBackbone, by_backbone
from tests.builders.exported_models import Swept
from tests.builders.transfer_shards import SIZE

ROOT = Path(__file__).parents[3]


@pytest.fixture
def model(swept: Swept) -> EncodingModel:
    return load_model(swept.model(swept.tuned, "lh-V1v"))


def test_images_of_every_kind_are_predicted_alike(
    model: EncodingModel, swept: Swept, tmp_path: Path
) -> None:
    array = swept.test_images()[:3]
    pictures = [Image.fromarray(one.transpose(1, 2, 0)) for one in array]
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    expected = model.predict(array)
    assert expected.shape == (3, 8)
    kinds = (pictures, paths, list(map(str, paths)), torch.from_numpy(array), array.astype(int))
    for images in kinds:
        np.testing.assert_array_equal(model.predict(images), expected)
    np.testing.assert_allclose(model.predict(paths[0])[0], expected[0], atol=1e-5)
    np.testing.assert_allclose(model.predict(array, batch_size=2), expected, atol=1e-5)


def test_an_image_of_another_size_is_resized_as_an_ingest_does(model: EncodingModel) -> None:
    large = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    small = Image.fromarray(large).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    expected = model.predict(np.asarray(small).transpose(2, 0, 1)[None])
    np.testing.assert_array_equal(model.predict(Image.fromarray(large)), expected)
    np.testing.assert_array_equal(model.predict(large.transpose(2, 0, 1)[None]), expected)


def test_a_model_describes_its_vertices_and_has_a_plain_backbone(model: EncodingModel) -> None:
    vertices = model.vertices
    assert vertices["vertex"].tolist() == vertices["fsaverage"].tolist() == list(range(8))
    assert vertices["noise_ceiling"].to_numpy(float) == pytest.approx(0.9)
    assert vertices["fslr"].isna().all()
    assert isinstance(model.backbone, torch.nn.Sequential)
    assert model.backbone(torch.zeros(2, 3, SIZE, SIZE)).shape == (2, 4)
    assert not model.training
    assert model.to("cpu") is model


def test_a_saved_model_is_the_same(model: EncodingModel, swept: Swept, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path / "saved")
    again = EncodingModel.from_pretrained(tmp_path / "saved")
    images = swept.test_images()
    np.testing.assert_array_equal(again.predict(images), model.predict(images))
    assert again.config == model.config
    assert again.card == model.card
    with torch.no_grad():
        again.backbone[1].weight.mul_(2)  # a changed backbone is saved as such
    again.save_pretrained(tmp_path / "changed")
    changed = load_model(tmp_path / "changed")
    np.testing.assert_array_equal(changed.predict(images), again.predict(images))


def test_bergs_calls_find_a_model_and_say_what_it_is(swept: Swept, tmp_path: Path) -> None:
    found = get_encoding_model(swept.models, "subj01", "EBA", "rh", device="cpu")
    images = swept.test_images()[:2]
    predicted, metadata = encode(found, images, return_metadata=True)
    np.testing.assert_array_equal(predicted, encode(found, images))
    assert metadata["fsaverage"].tolist() == [5, 6, 7, 8, 9]
    with pytest.raises(ValueError, match="2 models of 1 lh V1v"):
        get_encoding_model(swept.models, 1, "V1v", "lh")
    with pytest.raises(ValueError, match="no model of subj02"):
        get_encoding_model(swept.models, "subj02", "V1v", "lh")


def test_models_of_one_backbone_predict_together_as_each_alone(swept: Swept) -> None:
    groups = by_backbone(find_models(swept.models))
    assert sorted(map(len, groups)) == [1, 2]
    images = swept.test_images()
    for group in groups:
        together = SharedBackbone(group, torch.device("cpu")).predict(torch.from_numpy(images))
        for model, predicted in zip(group, together, strict=True):
            np.testing.assert_allclose(
                predicted, load_model(model.path).predict(images), rtol=1e-4, atol=1e-5
            )


@pytest.mark.slow
def test_a_fresh_interpreter_loads_a_model_without_ray_and_mlflow(swept: Swept) -> None:
    code = f"""
import sys
import numpy as np
from torch import nn
from orchestrator.encoding_models import load_model
from trainables.models import backbones

backbones.OWN_ARCHITECTURES["narrow"] = lambda: nn.Sequential(nn.Flatten(), nn.Linear(768, 4))
model = load_model({str(swept.model(swept.tuned, "lh-V1v"))!r})
print(model.predict(np.zeros((1, 3, 8, 8), np.uint8)).shape)
assert not {{"ray", "mlflow"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "(1, 8)\n", done.stderr


BAD_IMAGES = {
    "float array with NaN": (np.full((1, 3, 8, 8), np.nan), "found float64 with NaN"),
    "integers above 255": (np.full((1, 3, 8, 8), 300), "found 300 to 300"),
    "one channel": (np.zeros((2, 1, 8, 8), np.uint8), r"shape \(2, 1, 8, 8\)"),
    "one image without a batch": (np.zeros((3, 8, 8), np.uint8), r"shape \(3, 8, 8\)"),
    "no images": ([], "give at least one"),
    "floating-point mode": (Image.new("F", (8, 8)), "image 0: pixels of mode F"),
    "a sliver": ([Image.new("RGB", (1, 500))], "image 0: 1 x 500 pixels"),
    "no file": (["absent.png"], "absent.png: not a readable image"),
    "a list of arrays": ([np.zeros((3, 8, 8), np.uint8)], "found ndarray"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_images_that_are_no_pictures_are_refused(model: EncodingModel, case: str) -> None:
    images, message = BAD_IMAGES[case]
    with pytest.raises(ValueError, match=message) as refused:
        model.predict(images)
    assert "\n" not in str(refused.value)


def of_other_schema(path: Path) -> None:
    content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    (path / CONFIG).write_text(json.dumps({**content, "schema_version": 2}), encoding="utf-8")


def with_changed_readout(path: Path) -> None:
    state = load_file(path / READOUT)
    save_file({**state, "intercept": state["intercept"] + 1}, path / READOUT)


def with_other_vertices(path: Path) -> None:
    content = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    content["vertices"]["r"] = content["vertices"]["r"][:-1]
    (path / CONFIG).write_text(json.dumps(content), encoding="utf-8")


def emptied(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()


def cut(path: Path) -> None:
    os.truncate(path / PCA, 100)


def without_backbone(path: Path) -> None:
    (path / BACKBONE).unlink()


DAMAGES = {
    of_other_schema: "schema version 2, this program reads 1; export the model again",
    with_changed_readout: r"readout\.safetensors: its content has changed \(expected SHA-256",
    with_other_vertices: "r: expected 8 values, found 7",
    emptied: "no encoding model, which has a config.json",
    cut: r"pca\.safetensors: its content has changed",
    without_backbone: r"backbone\.safetensors: not readable \(No such file",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__)
def test_a_damaged_model_is_not_loaded(model_copy: Path, damage) -> None:
    load_model(model_copy)
    damage(model_copy)
    with pytest.raises(ValueError, match=DAMAGES[damage]) as refused:
        load_model(model_copy)
    assert "\n" not in str(refused.value)
