"""Predictions of many images: as one by one, resumed without loss, and no image skipped."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.io import netcdf_file

from benchmarks.small_shards import write_shards
from orchestrator.encoding_models import load_model
from orchestrator.encoding_models.config import READOUT, find_models
from orchestrator.encoding_models.shared_backbone import SharedBackbone
from orchestrator.predict import job, parts, run
from orchestrator.predict.__main__ import main
from orchestrator.predict.outputs import MODELS_KEY
from tests.builders.exported_models import Swept
from trainables.data.loading import read_images

N_IMAGES, PART, BATCH = 70, 32, 16


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images in small parts, two of them in folders below, and a file that is none."""
    monkeypatch.setattr(parts, "MOST_ROWS", PART)
    monkeypatch.setattr(parts, "FEWEST_ROWS", PART)
    monkeypatch.setattr(job, "FEATURE_BATCH", {"cpu": BATCH})
    folder = tmp_path / "images"
    (folder / "below" / "it").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (N_IMAGES, 12, 10, 3)).astype(np.uint8)
    for number, one in enumerate(pixels):
        where = folder if number > 1 else folder / "below" / "it"
        Image.fromarray(one).save(where / f"image-{number:03d}.png")
    (folder / "notes.txt").write_text("no image")
    return folder


def predict(swept: Swept, images: Path, out: Path, models: Path | None = None) -> int:
    return main([str(models or swept.models), "--images", str(images), "--out", str(out)])


def one_by_one(swept: Swept, images: Path) -> dict[str, np.ndarray]:
    paths = sorted(images.rglob("*.png"))
    found = find_models(swept.models)
    return {one.path.name: load_model(one.path).predict(paths) for one in found}


def read(out: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Read an output as (n_images, n_vertices) of each model."""
    if out.suffix == ".parquet":
        table = pq.read_table(out).to_pandas()
        return {name: np.stack(table[name]) for name in names}
    if out.suffix == ".npy":
        matrix = np.load(out)
    else:
        with netcdf_file(str(out), mmap=False) as file:
            matrix = file.variables["response"][:].copy()
    widths = [8, 8, 5]  # two models of lh V1v, one of rh EBA
    return dict(zip(names, np.split(matrix, np.cumsum(widths)[:-1], axis=1), strict=True))


def test_every_format_has_what_the_models_predict_one_by_one(
    swept: Swept, images: Path, tmp_path: Path
) -> None:
    expected = one_by_one(swept, images)
    for suffix in (".parquet", ".npy", ".nc"):
        out = tmp_path / f"out{suffix}"
        assert predict(swept, images, out) == 0
        found = read(out, list(expected))
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5)
    written = {"out.parquet", "out.npy", "out.json", "out.nc"}
    assert {path.name for path in tmp_path.iterdir()} == {"images", *written}
    check_names(tmp_path, images, list(expected))


def check_names(home: Path, images: Path, models: list[str]) -> None:
    """Check that each format names its rows and columns."""
    names = [path.relative_to(images).as_posix() for path in sorted(images.rglob("*.png"))]
    table = pq.read_table(home / "out.parquet")
    assert table["image"].to_pylist() == names
    about = json.loads(table.schema.metadata[MODELS_KEY])
    assert [one["model"] for one in about] == models == table.column_names[1:]
    beside = json.loads((home / "out.json").read_text(encoding="utf-8"))
    assert beside == {"images": names, "columns": about}
    with netcdf_file(str(home / "out.nc"), mmap=False) as file:
        letters = file.variables["image_name"][:]
        found = [b"".join(row).decode().rstrip("\0") for row in letters]
        vertices = file.variables["fsaverage"][:].tolist()
    assert found == names
    assert vertices == [*range(8), *range(8), *range(5, 10)]


def test_shards_are_predicted_in_the_order_of_their_rows(swept: Swept, tmp_path: Path) -> None:
    import torch

    shard, out = swept.home / "data" / "nsd-subj01", tmp_path / "out.npy"
    assert predict(swept, shard, out, swept.model(swept.tuned, "lh-V1v")) == 0
    pixels = read_images(shard, torch.device("cpu"))
    expected = load_model(swept.model(swept.tuned, "lh-V1v")).predict(pixels)
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-4, atol=1e-5)


class Killed(BaseException):
    """What ends a command as a kill does: nothing handles it."""


def test_a_killed_prediction_is_resumed_with_nothing_lost_or_twice(
    swept: Swept, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed twice, in its second part: each of two backbones has four batches in two parts."""
    whole, out = tmp_path / "whole.npy", tmp_path / "out.npy"
    assert predict(swept, images, whole) == 0
    predict_batch = SharedBackbone.predict
    seen: list[int] = []

    def counted(self: SharedBackbone, pixels):
        if len(seen) in (6, 9):
            seen.append(0)
            raise Killed
        seen.append(len(pixels))
        return predict_batch(self, pixels)

    monkeypatch.setattr(SharedBackbone, "predict", counted)
    for _ in range(2):
        with pytest.raises(Killed):
            predict(swept, images, out)
        assert not out.exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out.npy.parts").iterdir()}
    assert len(done) == 1 + 2  # the plan, and the first part of two backbones
    (tmp_path / "out.npy.parts" / ".part.partial-000000000000-1-1-1").touch()
    seen.clear()
    assert predict(swept, images, out) == 0
    assert sum(seen) == 2 * (N_IMAGES - PART)
    np.testing.assert_array_equal(np.load(out), np.load(whole))
    assert not (tmp_path / "out.npy.parts").exists()


def test_a_command_killed_before_it_removes_its_parts_ends_when_repeated(
    swept: Swept, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.npy"

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(parts.Parts, "remove", killed)
        with pytest.raises(Killed):
            predict(swept, images, out)
    before = np.load(out)
    monkeypatch.setattr(SharedBackbone, "predict", killed)  # nothing is computed again
    assert predict(swept, images, out) == 0
    np.testing.assert_array_equal(np.load(out), before)


def test_unreadable_images_are_listed_and_have_no_prediction(
    swept: Swept, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "image-005.png").write_bytes(b"no image")
    (images / "image-060.png").write_bytes((images / "image-060.png").read_bytes()[:200])
    Image.new("F", (8, 8)).save(images / "image-007.tif")
    out = tmp_path / "out.parquet"
    assert predict(swept, images, out) == 1
    printed = capsys.readouterr()
    bad = ["image-005.png", "image-007.tif", "image-060.png"]
    assert "3 images could not be read" in printed.err
    assert all(f"{name}: " in printed.err for name in bad)
    listed = (tmp_path / "out.parquet.unreadable.txt").read_text(encoding="utf-8").splitlines()
    assert [Path(line.split(": ")[0]).name for line in listed] == bad
    assert "notes.txt" in printed.out
    table = pq.read_table(out).to_pandas()
    assert len(table) == N_IMAGES + 1
    found = np.stack(table[swept.model(swept.tuned, "lh-V1v").name])
    assert table["image"][np.isnan(found).all(axis=1)].tolist() == bad
    assert np.isnan(found).sum() == 3 * 8


def test_models_that_do_not_fit_together_pass_one_after_another(
    swept: Swept, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(swept, images, tmp_path / "together.npy") == 0
    monkeypatch.setattr(job, "SHARE_FOR_MODELS", 0.0)
    assert predict(swept, images, tmp_path / "apart.npy") == 0
    apart, together = (np.load(tmp_path / f"{name}.npy") for name in ("apart", "together"))
    np.testing.assert_array_equal(apart, together)


def an_empty_folder(images: Path, model: Path, out: Path) -> None:
    for path in sorted(images.rglob("*.png")):
        path.unlink()


def no_folder(images: Path, model: Path, out: Path) -> None:
    images.rename(images.with_name("elsewhere"))


def a_file(images: Path, model: Path, out: Path) -> None:
    images.rename(images.with_name("elsewhere"))
    images.write_bytes(b"no folder")


def shards_of_another_size(images: Path, model: Path, out: Path) -> None:
    images.rename(images.with_name("elsewhere"))
    write_shards(images.parent, n_images=8, image_size=32)
    images.with_name("nsd-subj01").rename(images)


def a_tampered_readout(images: Path, model: Path, out: Path) -> None:
    content = (model / READOUT).read_bytes()
    (model / READOUT).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def a_model_of_another_schema(images: Path, model: Path, out: Path) -> None:
    path = model / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "schema_version": 7}), encoding="utf-8")


def no_model(images: Path, model: Path, out: Path) -> None:
    (model / "config.json").unlink()


def a_finished_output(images: Path, model: Path, out: Path) -> None:
    out.write_bytes(b"earlier")


REFUSED = {
    an_empty_folder: "holds no image files",
    no_folder: "expected a folder, found nothing there",
    a_file: "expected a folder, found a file there",
    shards_of_another_size: "images of 32 x 32 pixels, a model takes 16 x 16 pixels; give the",
    a_tampered_readout: "readout.safetensors: its content has changed",
    a_model_of_another_schema: "schema version 7, this program reads 1",
    no_model: "holds no encoding model; run python -m orchestrator.export",
    a_finished_output: "there already; remove it, or give another one",
}


@pytest.mark.parametrize("damage", REFUSED, ids=lambda one: one.__name__)
def test_bad_input_is_one_line_and_nothing_is_written(
    images: Path, model_copy: Path, tmp_path: Path, damage, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.npy"
    damage(images, model_copy, out)
    before = sorted(tmp_path.iterdir())
    assert main([str(model_copy), "--images", str(images), "--out", str(out)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert REFUSED[damage] in line
    assert sorted(tmp_path.iterdir()) == before


def test_parts_of_other_images_are_not_mixed_in(
    swept: Swept, images: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run, "write_output", killed)
        with pytest.raises(Killed):
            predict(swept, images, tmp_path / "out.npy")
    Image.new("RGB", (9, 9)).save(images / "image-050.png")
    capsys.readouterr()
    assert predict(swept, images, tmp_path / "out.npy") == 2
    assert "begun with other images; remove it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "message"),
    [("out.csv", "expected a name that ends in .parquet, .npy, .nc"), ("no/out.npy", "create it")],
)
def test_an_output_that_cannot_be_written_is_refused(
    swept: Swept, images: Path, tmp_path: Path, out: str, message: str, capsys
) -> None:
    assert predict(swept, images, tmp_path / out) == 2
    assert message in capsys.readouterr().err
