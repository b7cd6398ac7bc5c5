"""Find pictures that come twice under two names: a copy of a training image tests nothing.

Files are compared by their content before anything is written, decoded pictures while they are
written. A copy on the other side of the split, or in another class, is refused by name: only the
user knows which of the two is right, and what else belongs to it. Others are noted.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.image_places import ImagePlace
from orchestrator.ingest.images import check_images, remarks
from orchestrator.ingest.splits import Split
from orchestrator.ingest.writer import Batch
from trainables.data.shards import TEST

Copy = tuple[int, int]
"""The rows of a copy and of the first image with that content."""


def find_copies(contents: Sequence[Hashable]) -> list[Copy]:
    """List the rows whose content an earlier row has, with that row."""
    first: dict[Hashable, int] = {}
    pairs = [(row, first.setdefault(content, row)) for row, content in enumerate(contents)]
    return [pair for pair in pairs if pair[0] != pair[1]]


def inspect_images(
    images: Sequence[ImagePlace],
    split: Split | None,
    findings: Findings,
    looked: Callable[[int], None],
) -> None:
    """Check a subject's images; add problems and remarks to findings.

    split: None if it could not be decided. looked: called with the number of images checked since
    its last call.
    """
    found = findings.attempt(check_images, images, looked)
    if found is None:
        return
    findings.notes += remarks(images, found)
    if split is not None:
        contents = [examined.content for examined in found]
        findings.notes += findings.attempt(note_copies, images, contents, split.sides) or []


def note_copies(
    images: Sequence[ImagePlace], contents: Sequence[Hashable], sides: Sequence[str]
) -> list[str]:
    """Say which of a subject's images are copies within the training or the test images.

    sides: ``train`` or ``test`` of each image. Raises InputError naming those on different sides.
    """
    copies = find_copies(contents)
    crossing = [_crossing(images, pair, sides) for pair in copies if _differ(sides, pair)]
    if crossing:
        raise InputError(*crossing)
    return [
        f"{images[row]}: the same picture as {images[first].name}, both {sides[row]} images"
        for row, first in copies
        if images[row] != images[first]  # else a repeat, with responses of its own
    ]


def _differ(sides: Sequence[Hashable], pair: Copy) -> bool:
    return sides[pair[0]] != sides[pair[1]]


def _crossing(images: Sequence[ImagePlace], pair: Copy, sides: Sequence[str]) -> str:
    """Format the error of a test image that is also a training image."""
    test, train = pair if sides[pair[0]] == TEST else pair[::-1]
    return (
        f"{images[test]}: a test image, but the same picture as the training image "
        f"{images[train].name}; remove one of them, with its responses, or use another --split"
    )


def refuse_same_pictures(
    batches: Iterable[Batch], images: Sequence[ImagePlace], sides: Sequence[str]
) -> Iterator[Batch]:
    """Pass batches of decoded images on; raise InputError at the first copy on another side.

    sides: of each image, for tasks with its class. Finds what was saved again, in another format
    or with other metadata. The whole subject or task is dropped then: nothing is left half-written.
    """
    first: dict[bytes, int] = {}
    for start, batch, *further in batches:
        for row, picture in enumerate(batch, start):
            content = hashlib.blake2b(picture.as_buffer(), digest_size=16).digest()
            earlier = first.setdefault(content, row)
            if sides[earlier] != sides[row]:
                raise InputError(
                    f"{images[row]}: the same picture as {images[earlier]}: the one is "
                    f"{sides[row]}, the other {sides[earlier]}; remove one of them"
                )
        yield start, batch, *further
