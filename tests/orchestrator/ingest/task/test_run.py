"""Image-classification tasks: found, decoded, split, written once, read back."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from orchestrator.cli.errors import InputError
from orchestrator.ingest.__main__ import main
from orchestrator.ingest.images import decode_cropped
from orchestrator.ingest.settings import FORMATS
from orchestrator.ingest.simulate.task import TaskSimulation, simulate_task
from orchestrator.ingest.task.run import ingest_task, write_task
from orchestrator.ingest.task.sources import find_task
from trainables.data.data_directory import DataDirectory
from trainables.data.tasks import TaskManifest, read_labels, read_task_batches

SIZE = 32


@pytest.fixture
def source(tmp_path):
    """Three classes of twelve images each, of many sizes and modes."""
    rng = np.random.default_rng(0)
    for name in ("ant", "bee", "cow"):
        (tmp_path / "src" / name).mkdir(parents=True)
        for number in range(12):
            high, wide = rng.integers(20, 90, 2)
            pixels = rng.integers(0, 256, (high, wide, 3), np.uint8)
            mode = ("RGB", "L", "P")[number % 3]
            Image.fromarray(pixels).convert(mode).save(tmp_path / "src" / name / f"{number}.png")
    return tmp_path / "src"


def written(source, tasks, size=SIZE):
    """Write a task without Ray."""
    found = find_task(source, "imagefolder")
    pixels = [decode_cropped(path, size).tobytes() for path in found.images]
    batches = [
        (first, pa.array(pixels[first : first + 10], pa.binary(3 * size * size)))
        for first in range(0, len(pixels), 10)
    ]
    return write_task(found, batches, tasks, "animals", size)


def test_an_image_is_cut_as_torchvision_does_it(source):
    reference = v2.Compose([v2.Resize(round(256 * 224 / 224)), v2.CenterCrop(224)])
    paths = sorted(source.rglob("*.png"))
    assert len(paths) == 36
    for path in paths[:8]:
        with Image.open(path) as image:
            expected = np.asarray(reference(image.convert("RGB"))).transpose(2, 0, 1)
        np.testing.assert_array_equal(decode_cropped(path, 224), expected)


def test_a_task_is_read_back_as_it_was_written(source, tmp_path):
    manifest = written(source, tmp_path / "data" / "tasks")
    [directory] = DataDirectory(tmp_path / "data").tasks()
    assert TaskManifest.read(directory) == manifest
    assert manifest.classes == ("ant", "bee", "cow")
    found = find_task(source, "imagefolder")
    images = torch.cat(list(read_task_batches(directory, 7)))
    for image, path in zip(images, found.images, strict=True):
        np.testing.assert_array_equal(image.numpy(), decode_cropped(path, SIZE))
    labels = read_labels(directory)
    assert labels.names == list(found.names)
    assert labels.labels.tolist() == list(found.labels)


def test_the_split_is_the_seeded_permutation(source, tmp_path):
    written(source, tmp_path / "data" / "tasks")
    labels = read_labels(tmp_path / "data" / "tasks" / "animals")
    order = torch.randperm(36, generator=torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_array_equal(labels.train_rows, np.sort(order[:30]))
    np.testing.assert_array_equal(labels.test_rows, np.sort(order[30:]))


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_chosen_rows_are_streamed_in_index_order(source, tmp_path, batch_size):
    written(source, tmp_path / "data" / "tasks")
    directory = tmp_path / "data" / "tasks" / "animals"
    rows = np.array([0, 3, 17, 35])
    parts = list(read_task_batches(directory, batch_size, rows))
    assert all(len(part) == batch_size for part in parts[:-1])
    everything = torch.cat(list(read_task_batches(directory, 36)))
    torch.testing.assert_close(torch.cat(parts), everything[rows])


def test_a_task_is_no_subject(source, tmp_path):
    written(source, tmp_path / "data" / "tasks")
    assert DataDirectory(tmp_path / "data").shards() == []


def test_an_image_more_changes_the_digest_of_the_data(source, tmp_path):
    before = written(source, tmp_path / "one")
    Image.new("RGB", (40, 40)).save(source / "cow" / "zz.png")
    after = written(source, tmp_path / "two")
    assert before.data != after.data
    assert before.data == written(source_without(source, "zz.png"), tmp_path / "three").data


def source_without(source, name):
    (source / "cow" / name).unlink()
    return source


def test_nothing_is_left_where_the_images_stop_with_an_error(source, tmp_path):
    found = find_task(source, "imagefolder")

    def broken():
        yield 0, pa.array([bytes(3 * SIZE * SIZE)], pa.binary(3 * SIZE * SIZE))
        raise InputError("an image")

    with pytest.raises(InputError, match="an image"):
        write_task(found, broken(), tmp_path / "tasks", "animals", SIZE)
    assert list((tmp_path / "tasks").iterdir()) == []


def test_every_complaint_is_reported_at_once(source):
    (source / "dog").mkdir()
    (source / "eel").mkdir()
    with pytest.raises(InputError) as refused:
        find_task(source, "imagefolder")
    assert [line.split("class ")[1].split()[0] for line in refused.value.lines] == [
        "'dog'",
        "'eel'",
    ]


def test_a_directory_of_splits_is_not_taken_for_classes(source, tmp_path):
    (tmp_path / "both").mkdir()
    source.rename(tmp_path / "both" / "train")
    with pytest.raises(InputError, match=r"both/train"):
        find_task(tmp_path / "both", "imagefolder")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_folder_of_another_layout_is_refused_with_what_was_expected(tmp_path, kind):
    with pytest.raises(InputError, match="expected"):
        find_task(tmp_path, kind)
    assert list(tmp_path.iterdir()) == []


def test_caltech256_is_read_without_its_strays(tmp_path):
    folder = tmp_path / "caltech256" / "256_ObjectCategories"
    for name in ("001.ak47", "056.dog"):
        (folder / name / "greg").mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (30, 30)).save(folder / name / f"{name[:3]}_{number:04d}.jpg")
        Image.new("RGB", (30, 30)).save(folder / name / "greg" / "stray.jpg")
    found = find_task(tmp_path, "caltech256")
    assert found.classes == ("001.ak47", "056.dog")
    assert len(found.images) == 40


def test_sun397_is_read_where_torchvision_unpacks_it(tmp_path):
    root = tmp_path / "SUN397"
    (root / "a" / "abbey").mkdir(parents=True)
    (root / "b" / "bar").mkdir(parents=True)
    (root / "ClassName.txt").write_text("/a/abbey\n/b/bar\n")
    for place in ("a/abbey", "b/bar"):
        for number in range(10):
            Image.new("RGB", (30, 30)).save(root / place / f"sun_{number:03d}.jpg")
    found = find_task(tmp_path, "sun397")
    assert found.classes == ("abbey", "bar")
    assert {
        Path(name).parts[2]: label for name, label in zip(found.names, found.labels, strict=True)
    } == {
        "abbey": 0,
        "bar": 1,
    }


def test_the_simulated_task_has_every_class_and_is_made_once(tmp_path):
    settings = TaskSimulation(n_images=120, image_size=SIZE)
    simulate_task(tmp_path / "src", settings)
    found = find_task(tmp_path / "src", "imagefolder")
    assert len(found.images) == 120
    assert len(found.classes) == 8
    simulate_task(tmp_path / "src", settings)
    with pytest.raises(ValueError, match="another --out"):
        simulate_task(tmp_path / "src", TaskSimulation(n_images=121, image_size=SIZE))


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden"])
def test_a_name_that_is_no_plain_name_is_refused(source, tmp_path, name, capsys):
    code = main(["task", str(source), "--out", str(tmp_path / "data"), "--name", name])
    assert code == 2
    assert "--name" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_cut_image_is_named_and_nothing_written(source, tmp_path, capsys):
    path = source / "bee" / "0.png"
    path.write_bytes(path.read_bytes()[:100])
    code = main(["task", str(source), "--out", str(tmp_path / "data"), "--name", "animals"])
    assert code == 2
    assert "bee/0.png" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


@pytest.mark.ray
def test_a_task_is_ingested_once_and_other_settings_are_refused(source, tmp_path, local_ray):
    first = ingest_task(source, DataDirectory(tmp_path), "animals", "imagefolder", SIZE)
    marked = (tmp_path / "tasks" / "animals" / "manifest.json").stat().st_mtime_ns
    assert ingest_task(source, DataDirectory(tmp_path), "animals", "imagefolder", SIZE) == first
    assert (tmp_path / "tasks" / "animals" / "manifest.json").stat().st_mtime_ns == marked
    assert first.content == written(source, tmp_path / "by-hand").content
    with pytest.raises(InputError, match="image size"):
        ingest_task(source, DataDirectory(tmp_path), "animals", "imagefolder", 64)
