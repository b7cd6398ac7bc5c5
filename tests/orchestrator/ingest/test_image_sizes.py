"""The same images at several sizes in one data directory, each picture decoded once."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from orchestrator.ingest import images
from orchestrator.ingest.__main__ import main
from tests.builders.algonauts_folder import write_folder
from tests.builders.decoding import decode_in_process
from trainables.data.data_directory import DataDirectory, row_files
from trainables.data.disk_images import DiskImages
from trainables.data.loading import read_images, read_subject
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest, list_rois
from trainables.storage.atomic import hash_files

CPU = torch.device("cpu")
SHARD = "nsd-subj01"
SIZES = (8, 12, 20)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    decode_in_process(monkeypatch)
    return write_folder(tmp_path / "source")


def ingest(folder, out, *options) -> int:
    command = ["algonauts", str(folder.root), "--out", str(out), "--subjects", "1"]
    return main([*command, "--split", "paper", *options])


def pillow(folder, size, resampling) -> np.ndarray:
    """Resize every image with Pillow alone: (n, 3, size, size)."""
    pictures = [Image.open(path).convert("RGB") for path in sorted(folder.images.iterdir())]
    pixels = [np.asarray(one.resize((size, size), resampling)) for one in pictures]
    return np.stack(pixels).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("options", "interpolation"), [((), "bilinear"), (("--interpolation", "bicubic"), "bicubic")]
)
def test_every_size_is_stored_as_pillow_resizes_the_picture(
    folder, tmp_path, options, interpolation
):
    assert ingest(folder, tmp_path / "data", "--image-size", "8,12,20", *options) == 0
    shard = tmp_path / "data" / SHARD
    manifest = Manifest.read(shard)
    assert (manifest.image_sizes, manifest.interpolation) == (SIZES, interpolation)
    for size in SIZES:
        expected = pillow(folder, size, Image.Resampling[interpolation.upper()])
        np.testing.assert_array_equal(read_images(shard, CPU, size), expected)
        rows = torch.tensor([7, 0, 11])
        streamed = torch.cat(list(DiskImages(shard, tmp_path, size).read(rows)))
        np.testing.assert_array_equal(streamed, expected[rows])
        [block] = read_rows(shard, ("index", "image"), kind=manifest.images_at(shard, size)[1])
        pixels = fixed_width(block["image"], np.uint8).reshape(expected.shape)
        np.testing.assert_array_equal(pixels, expected)


def test_a_further_size_changes_nothing_else_not_even_the_ids(folder, tmp_path):
    for name, sizes in (("one", "8"), ("more", "8,12")):
        assert ingest(folder, tmp_path / name, "--image-size", sizes) == 0
    one, more = (tmp_path / name / SHARD for name in ("one", "more"))
    assert hash_files(row_files(one)) == hash_files(row_files(more))
    assert list_rois(DataDirectory(one.parent)) == list_rois(DataDirectory(more.parent))
    text = json.loads((one / "manifest.json").read_text())
    assert text.keys().isdisjoint({"further_images", "interpolation"})
    assert sorted(path.name for path in more.iterdir()) == [
        "images-12-00000.parquet",
        "manifest.json",
        "rows-00000.parquet",
        "vertices.parquet",
    ]
    np.testing.assert_array_equal(
        read_subject(one).responses["lh"], read_subject(more).responses["lh"]
    )


def test_a_picture_is_opened_once_for_all_sizes(folder, tmp_path, monkeypatch):
    opened, read = [], images.read_rgb
    monkeypatch.setattr(images, "read_rgb", lambda place: (opened.append(place), read(place))[1])
    assert ingest(folder, tmp_path / "data", "--image-size", "8", "--image-size", "12,20") == 0
    assert len(opened) == len(set(opened)) == Manifest.read(tmp_path / "data" / SHARD).n_images


def test_sizes_that_are_not_stored_are_refused_with_those_that_are(folder, tmp_path, capsys):
    data = tmp_path / "data"
    assert ingest(folder, data, "--image-size", "8,12") == 0
    for read in (
        lambda shard: read_images(shard, CPU, 20),
        lambda shard: DiskImages(shard, tmp_path, 20),
    ):
        with pytest.raises(ValueError, match="expected images of 20 pixels, found those of 8, 12"):
            read(data / SHARD)
    assert ingest(folder, data, "--image-size", "8") == 0  # what is asked for is there
    capsys.readouterr()
    for options, found in (
        (("--image-size", "12"), "its image size is 8, not 12"),
        (("--image-size", "8,20,24"), "it has no images of 20 and 24 pixels"),
        (("--image-size", "8", "--interpolation", "bicubic"), "its images are bilinear, not bicu"),
        (("--image-size", "8,0"), "expected an integer above 0"),
        (("--image-size", "8,,12"), "expected"),
    ):
        assert ingest(folder, data, *options) == 2
        assert found in capsys.readouterr().err


def test_a_damaged_file_of_a_further_size_is_found_where_it_is_read(folder, tmp_path):
    assert ingest(folder, tmp_path / "data", "--image-size", "8,12") == 0
    shard = tmp_path / "data" / SHARD
    path = shard / "images-12-00000.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert len(read_images(shard, CPU)) == Manifest.read(shard).n_images
    with pytest.raises(ValueError, match=r"images-12-00000\.parquet: damaged or of another ingest"):
        read_images(shard, CPU, 12)
