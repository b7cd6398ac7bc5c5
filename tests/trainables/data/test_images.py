"""Images by row: cut into batches, and the same from memory as from a stream."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from trainables.data.images import ResidentImages, StreamedImages, split_batches

CPU = torch.device("cpu")


def numbered_images(n: int, size: int = 2) -> Tensor:
    return torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 3, size, size).contiguous()


def streamed(images: Tensor, pieces: list[int]) -> StreamedImages:
    """Stream images in pieces of the given lengths, over and over."""

    def read(rows: Tensor) -> Iterator[Tensor]:
        start, number = 0, 0
        while start < len(rows):
            length = pieces[number % len(pieces)]
            yield images[rows[start : start + length]]
            start, number = start + length, number + 1

    return StreamedImages(len(images), images.shape[-1], read, CPU)


@pytest.mark.parametrize(
    ("n", "batch_size", "lengths"),
    [
        (8, 4, [4, 4]),
        (10, 4, [4, 4, 2]),
        (9, 4, [4, 5]),
        (5, 4, [5]),
        (3, 2, [3]),
        (2, 4, [2]),
        (4, 100, [4]),
        (1, 4, [1]),
    ],
)
def test_a_last_batch_of_one_joins_its_neighbour(n, batch_size, lengths) -> None:
    assert [len(part) for part in split_batches(torch.arange(n), batch_size)] == lengths


@given(st.integers(2, 200), st.integers(2, 64))
def test_batches_hold_every_row_once_and_in_order_and_never_one_alone(n, batch_size) -> None:
    rows = torch.arange(n).flip(0)
    parts = split_batches(rows, batch_size)
    assert torch.equal(torch.cat(parts), rows)
    assert all(2 <= len(part) <= batch_size + 1 for part in parts)


@given(
    st.permutations(range(17)),
    st.integers(0, 15),
    st.integers(2, 20),
    st.lists(st.integers(1, 20), min_size=1, max_size=4),
)
@settings(max_examples=150)
def test_streamed_images_equal_resident_ones(order, n_left_out, batch_size, pieces) -> None:
    images, rows = numbered_images(17), torch.tensor(order[n_left_out:])
    resident = list(ResidentImages(images).batches(rows, batch_size))
    stream = list(streamed(images, pieces).batches(rows, batch_size))
    assert len(resident) == len(stream)
    assert all(torch.equal(a, b) for a, b in zip(resident, stream, strict=True))


def test_images_come_in_the_order_of_the_rows() -> None:
    rows = torch.tensor([5, 0, 3])
    batches = ResidentImages(numbered_images(6)).batches(rows, 2)
    assert torch.cat(list(batches))[:, 0, 0, 0].tolist() == [5, 0, 3]


def test_a_stream_is_read_anew_every_time() -> None:
    images = streamed(numbered_images(6), [4])
    rows = torch.arange(6)
    first, again = (torch.cat(list(images.batches(rows, 4))) for _ in range(2))
    assert torch.equal(first, again)


def test_the_number_and_size_of_images_are_reported() -> None:
    images = ResidentImages(numbered_images(6, size=8))
    assert (images.n_images, images.image_size) == (6, 8)


def test_a_stream_is_read_no_further_than_the_batches_asked_for() -> None:
    n_read = 0

    def read(rows: Tensor) -> Iterator[Tensor]:
        nonlocal n_read
        for row in rows:
            n_read += 1
            yield numbered_images(20)[row : row + 1]

    batches = StreamedImages(20, 2, read, CPU).batches(torch.arange(20), 4)
    next(batches)
    assert n_read == 4


def test_a_stream_that_ends_too_early_is_an_error_and_not_a_short_epoch() -> None:
    images = StreamedImages(8, 2, lambda rows: iter([numbered_images(3)]), CPU)
    with pytest.raises(RuntimeError):
        list(images.batches(torch.arange(8), 4))
