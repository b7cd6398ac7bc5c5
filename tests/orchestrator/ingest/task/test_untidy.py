"""Classes of images as users' machines leave them: strangers, copies, links, names."""

import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from orchestrator.cli.errors import InputError
from orchestrator.ingest.copies import refuse_same_pictures
from orchestrator.ingest.images import decode_cropped
from orchestrator.ingest.task.run import check_task, name_groups
from orchestrator.ingest.task.sources import TaskSource, find_task
from tests.builders.refused_ingest import errors_of

SIZE = 16
CLASSES = ("ant", "bee", "cow")


@pytest.fixture
def source(tmp_path) -> Path:
    """Three classes of ten images."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (tmp_path / "src" / name).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "src" / name / f"{number}.png")
    return tmp_path / "src"


def checked(source: Path) -> TaskSource:
    return check_task(find_task(source, "imagefolder"), lambda _: None)


def hidden_copies(source: Path) -> None:
    for name in CLASSES:
        (source / name / ".ipynb_checkpoints").mkdir()
        shutil.copy(source / name / "0.png", source / name / ".ipynb_checkpoints/0-checkpoint.png")


def beside_each_image(name: str):
    def add(source: Path) -> None:
        for path in list(source.rglob("*.png")):
            path.with_name(name.format(path.name)).write_bytes(b"\0\5\26\7\0\2\0\0Mac OS X")

    return add


def system_folders(source: Path) -> None:
    for name in ("@eaDir", ".snapshot", "__MACOSX", "#recycle"):
        shutil.copytree(source / "ant", source / "bee" / name)
        shutil.copytree(source / "ant", source / name)


UNTIDY = {
    "Jupyter's copies": hidden_copies,
    "macOS' metadata": beside_each_image("._{}"),
    "an editor's backups": beside_each_image("{}~"),
    "conflicts": beside_each_image("{}.sync-conflict-20260101-000000-ABC.png"),
    "systems' folders": system_folders,
    "thumbnails": lambda source: (source / "ant" / "Thumbs.db").write_bytes(b"x"),
}


@pytest.mark.parametrize("case", UNTIDY)
def test_strangers_change_no_image_and_no_digest_and_are_named_once(case, source) -> None:
    before = checked(source)
    UNTIDY[case](source)
    after = checked(source)
    assert (after.images, after.labels, after.classes) == (
        before.images,
        before.labels,
        before.classes,
    )
    assert after.digest() == before.digest()
    (note,) = after.notes
    assert note.startswith("left out, no part of the data set: ")


@pytest.mark.parametrize("name", ["notes.txt", "deeper/a.heic", "labels.csv"])
def test_files_that_are_no_images_by_their_ending_are_named(name, source) -> None:
    path = source / "ant" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    (note,) = checked(source).notes
    assert note == f"left out, no image by its ending, or in no class: {path}"


def test_copies_within_a_class_are_left_out_and_named(source) -> None:
    before = checked(source)
    for number in range(5):
        shutil.copy(source / "ant" / "3.png", source / "ant" / f"copy {number}.png")
    after = checked(source)
    assert after.images == before.images
    assert after.names == before.names
    assert after.split_digest == before.split_digest
    assert after.digest() == find_task(source, "imagefolder").digest() != before.digest()
    (note,) = after.notes
    assert note.startswith("left out, a copy of another image: ")
    assert "copy 2.png and 2 more (5 in all)" in note


def test_an_image_in_two_classes_is_refused_by_name(source) -> None:
    shutil.copy(source / "ant" / "3.png", source / "cow" / "x.png")
    (source / "dog").symlink_to("bee")
    with pytest.raises(InputError) as refused:
        checked(source)
    first, *others = refused.value.lines
    assert first == (
        f"{source}/cow/x.png: the same picture as {source}/ant/3.png, in another class; remove "
        "the wrong one"
    )
    assert len(others) == 10


def test_a_class_of_copies_alone_has_too_few_images(source) -> None:
    (source / "dog").mkdir()
    for number in range(9):
        (source / "dog" / f"{number}.png").symlink_to(source / "ant" / "0.png")
    with pytest.raises(InputError, match="the same picture"):
        checked(source)


def test_an_image_that_was_saved_again_never_tests_what_it_trained(source) -> None:
    """Files of other bytes with the same pixels are found while they are written."""
    before = find_task(source, "imagefolder")
    sides = dict(zip(before.images, before.sides, strict=True))
    test = next(path for path, side in sides.items() if side == "test")
    own = [path for path, side in sides.items() if side == "train" and path.parent == test.parent]
    with Image.open(own[0]) as image:
        image.save(test, compress_level=0)
    found = checked(source)
    pixels = [decode_cropped(path, SIZE).tobytes() for path in found.images]
    batch = pa.array(pixels, pa.binary(3 * SIZE * SIZE))
    with pytest.raises(InputError, match="the same picture as") as refused:
        list(refuse_same_pictures([(0, batch)], found.images, name_groups(found)))
    assert f"a test image of class '{test.parent.name}'" in str(refused.value)
    assert f"a train image of class '{test.parent.name}'" in str(refused.value)


def half_as_links(source: Path) -> None:
    for path in sorted(source.rglob("*.png"))[::2]:
        path.unlink()
        path.symlink_to(f"../.git/annex/objects/{path.name}")


def replaced_by(make):
    def damage(source: Path) -> None:
        (source / "bee" / "4.png").unlink()
        make(source / "bee" / "4.png")

    return damage


def put_deeper(source: Path) -> None:
    source.rename(source.with_name("inner"))
    (source / "__MACOSX").mkdir(parents=True)
    source.with_name("inner").rename(source / "animals")


REFUSED = {
    "links to nothing": (half_as_links, "the link leads nowhere; download its content", 1),
    "a class that was not fetched": (
        lambda s: (s / "dog").symlink_to("../.git/annex/objects/x"),
        "dog: missing: the link leads nowhere; download its content",
        1,
    ),
    "git-annex's pointer": (
        replaced_by(lambda path: path.write_text("/annex/objects/MD5E-s1--a.png")),
        "4.png: not a readable image (a pointer of git-annex); download its content",
        1,
    ),
    "a named pipe": (replaced_by(os.mkfifo), "4.png: not a readable image (a named pipe", 1),
    "a device": (
        replaced_by(lambda path: path.symlink_to("/dev/zero")), "(a device, not a file)", 1,
    ),
    "an unfinished download": (
        lambda s: (s / "bee" / "4.png").rename(s / "bee" / "4.png.crdownload"),
        "4.png.crdownload: its download was not finished",
        1,
    ),
    "iCloud's placeholder": (
        lambda s: (s / "bee" / "4.png").rename(s / "bee" / ".4.png.icloud"),
        ".4.png.icloud: its download was not finished",
        1,
    ),
    "an image's name that is no UTF-8": (
        lambda s: os.rename(s / "bee" / "4.png", os.fsencode(s / "bee") + b"/caf\xe9.png"),  # noqa: PTH104
        r"bee/caf\xe9.png: its name is not UTF-8",
        1,
    ),
    "a class's name that is no UTF-8": (
        lambda s: os.rename(s / "bee", os.fsencode(s) + b"/caf\xe9"),  # noqa: PTH104
        r"caf\xe9/2.png and 7 more (10 in all): its name is not UTF-8",
        1,
    ),
    "classes that differ in case": (
        lambda s: shutil.copytree(s / "bee", s / "Bee"),
        "classes 'Bee' and 'bee' differ only in how their name is written",
        1,
    ),
    "classes that differ in accents": (
        lambda s: ((s / "bee").rename(s / "abe\u0301"), (s / "cow").rename(s / "ab\u00e9")),
        "differ only in how their name is written",
        1,
    ),
    "one level too deep": (put_deeper, "found 1; give ", 1),
    "a folder of splits": (
        lambda s: [(s / "ant").rename(s / "Training"), (s / "bee").rename(s / "test_set"),
                   (s / "cow").rename(s / "val2017")],
        "holds Training, test_set, val2017, not classes",
        1,
    ),
    "many empty classes": (
        lambda s: [(s / name).mkdir() for name in ("dog", "eel", "fox", "gnu", "hen")],
        "and 2 more (5 in all); add some, or remove it",
        1,
    ),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_meant_is_refused_by_name(case, source, tmp_path, capsys) -> None:
    damage, text, n_lines = REFUSED[case]
    damage(source)
    arguments = ["task", source, "--out", tmp_path / "data", "--name", "animals"]
    lines = errors_of(arguments, capsys)
    assert any(text in line for line in lines), lines
    assert len(lines) == n_lines, lines
    assert not (tmp_path / "data").exists()


def test_an_archive_that_was_unpacked_too_deep_is_named_with_its_folder(source) -> None:
    put_deeper(source)
    with pytest.raises(InputError, match=f"give {source}/animals$"):
        find_task(source, "imagefolder")
    put_deeper(source)
    with pytest.raises(InputError, match=f"give {source}/animals/animals$"):
        find_task(source, "imagefolder")
