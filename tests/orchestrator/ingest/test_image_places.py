"""Images that are rows of an HDF5 data set."""

import pickle
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.copies import inspect_images
from orchestrator.ingest.image_places import StackedImage, count_stacked
from orchestrator.ingest.images import check_images, decode_image
from orchestrator.ingest.splits import given_split
from orchestrator.ingest.writer import write_subject
from tests.builders.algonauts_folder import write_folder
from tests.builders.algonauts_ingest import SETTINGS, batches, inspect
from trainables.data.data_directory import DataDirectory

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 20, 20, 3), dtype=np.uint8)


@pytest.fixture
def stack(tmp_path):
    path = tmp_path / "stimuli.hdf5"
    with h5py.File(path, "w") as file:
        file["imgBrick"] = PIXELS
    return path


def test_a_row_is_resized_as_the_same_image_in_a_file_is(stack, tmp_path):
    for row in (0, 4):
        path = tmp_path / f"{row}.png"
        Image.fromarray(PIXELS[row]).save(path)
        place = pickle.loads(pickle.dumps(StackedImage(stack, "imgBrick", row).resolve()))
        for size in (8, 20):
            np.testing.assert_array_equal(decode_image(place, size), decode_image(path, size))
    np.testing.assert_array_equal(decode_image(place, 20), PIXELS[4].transpose(2, 0, 1))


def test_shards_of_rows_are_those_of_files(tmp_path):
    subject = inspect(write_folder(tmp_path / "source", (1,)).root)
    pixels = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in subject.images])
    with h5py.File(tmp_path / "stack.hdf5", "w") as file:
        file["imgBrick"] = pixels[::-1]
    rows = range(len(pixels) - 1, -1, -1)
    places = tuple(StackedImage(tmp_path / "stack.hdf5", "imgBrick", row) for row in rows)
    stacked = replace(subject, images=places)
    first, second = (
        write_subject(one, batches(one), DataDirectory(tmp_path / name), SETTINGS)
        for one, name in ((subject, "a"), (stacked, "b"))
    )
    assert first == second


def test_rows_are_checked_and_equal_ones_are_noted(stack):
    with h5py.File(stack, "a") as file:
        file["imgBrick"][5] = PIXELS[1]
    places = [StackedImage(stack, "imgBrick", row) for row in (0, 1, 5, 1)]
    findings, looked = Findings(), []
    split = given_split("own", ["a", "b", "c", "b"], ["test", "train", "train", "train"])
    inspect_images(places, split, findings, looked.append)
    assert (findings.complaints, sum(looked)) == ([], 4)
    (note,) = findings.notes
    assert note == (
        f"{stack}:imgBrick[5]: the same picture as stimuli.hdf5:imgBrick[1], both train images"
    )
    split = given_split("own", ["a", "b", "c", "b"], ["train", "train", "test", "train"])
    inspect_images(places, split, findings, looked.append)
    (complaint,) = findings.complaints
    assert complaint.startswith(f"{stack}:imgBrick[5]: a test image, but the same picture as")


def test_a_row_that_is_not_there_is_named(stack):
    with pytest.raises(InputError, match=r"stimuli.hdf5:imgBrick\[6\]: not a readable image"):
        check_images([StackedImage(stack, "imgBrick", 6)], lambda n: None)


def test_images_of_a_data_set_are_counted(stack):
    assert count_stacked(stack, "imgBrick") == 6


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "stimuli missing; download it again"),
        (b"no HDF5 file", "not a readable HDF5 file .*; download it again"),
        ({"images": PIXELS}, "expected a data set imgBrick, found images; download it again"),
        ({"imgBrick": PIXELS[..., 0]}, r"\(images, height, width, 3\), found uint8 of \(6, 20, 20"),
        ({"imgBrick": PIXELS.astype("f4")}, "found float32 of"),
        ({"imgBrick": PIXELS[:0]}, r"found uint8 of \(0, 20, 20, 3\)"),
        ({"imgBrick/deep": PIXELS}, r"found None of \(\)"),
    ],
)
def test_another_file_is_refused(tmp_path, content, problem):
    path = tmp_path / "stimuli.hdf5"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        with h5py.File(path, "w") as file:
            for name, values in content.items():
                file[name] = values
    with pytest.raises(InputError, match=problem):
        count_stacked(path, "imgBrick")
