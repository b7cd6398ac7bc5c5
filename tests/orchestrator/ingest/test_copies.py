"""A picture that comes twice never tests what it trained, whatever its names."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.copies import find_copies, note_copies, refuse_same_pictures

IMAGES = [Path(f"/src/{k}.png") for k in range(6)]
SIDES = ["train", "train", "test", "train", "test", "test"]


def test_copies_are_found_with_the_first_of_their_content() -> None:
    assert find_copies(["a", "b", "a", "c", "b", "a"]) == [(2, 0), (4, 1), (5, 0)]
    assert find_copies([]) == []


def test_copies_on_one_side_are_noted() -> None:
    assert note_copies(IMAGES, list("abcaec"), SIDES) == [
        "/src/3.png: the same picture as 0.png, both train images",
        "/src/5.png: the same picture as 2.png, both test images",
    ]


@pytest.mark.parametrize("contents", ["abadef", "abcdeb"])
def test_a_test_image_that_is_a_training_image_is_refused_by_name(contents) -> None:
    with pytest.raises(InputError) as refused:
        note_copies(IMAGES, list(contents), SIDES)
    (line,) = refused.value.lines
    test, train = ("2", "0") if contents == "abadef" else ("5", "1")
    assert line.startswith(f"/src/{test}.png: a test image, but the same picture as the training")
    assert f"{train}.png;" in line


def batches(rows: list[int]) -> list[tuple[int, pa.Array]]:
    """Decoded pictures of those numbers, three a batch."""
    pictures = [np.full(12, row, np.uint8).tobytes() for row in rows]
    return [(k, pa.array(pictures[k : k + 3], pa.binary(12))) for k in range(0, len(rows), 3)]


def test_pictures_that_differ_pass_as_they_are() -> None:
    given = batches([0, 1, 2, 3, 4, 5])
    assert list(refuse_same_pictures(given, IMAGES, SIDES)) == given
    given = batches([0, 1, 2, 0, 2, 5])  # copies on one side
    assert list(refuse_same_pictures(given, IMAGES, SIDES)) == given


def test_a_picture_that_was_saved_again_is_refused_while_it_is_written() -> None:
    with pytest.raises(InputError, match=r"/src/4.png: the same picture as /src/1.png: the one is"):
        list(refuse_same_pictures(batches([0, 1, 2, 3, 1, 5]), IMAGES, SIDES))
