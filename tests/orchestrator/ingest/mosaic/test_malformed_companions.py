"""What belongs to MOSAIC's files, malformed: tables of stimuli, images, the atlas, lists."""

import json
import re
import shutil
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.builders.mosaic_folder import MosaicFolder, refused_line

Damage = Callable[[MosaicFolder], object]


def edited(old: str, new: str) -> Damage:
    """Replace text in the table of stimuli, once."""

    def damage(folder: MosaicFolder) -> None:
        text = folder.table.read_text()
        assert old in text
        folder.table.write_text(text.replace(old, new, 1))

    return damage


def atlas(**changes: np.ndarray) -> Damage:
    """Change arrays of the atlas; the file itself is a link."""

    def damage(folder: MosaicFolder) -> None:
        held = dict(np.load(folder.atlas)) | changes
        folder.atlas.unlink()
        np.savez(folder.atlas, **held)

    return damage


def not_square(folder: MosaicFolder) -> None:
    for path in sorted(folder.images.iterdir()):
        if not path.stem.startswith("00000000") and len(path.stem) > 3:
            shape = (int(path.stem) % 97 + 32, 300)
            path.unlink()
            Image.new("L", shape, int(path.stem) % 251).save(path)


def both_lists(folder: MosaicFolder) -> None:
    train, test = (folder.split_list(f"{side}_naturalistic") for side in ("train", "test"))
    entries = json.loads(train.read_text()) + json.loads(test.read_text())[:2]
    train.write_text(json.dumps(entries))


def copied_test_image(folder: MosaicFolder) -> None:
    lists = {side: folder.split_list(f"{side}_naturalistic") for side in ("train", "test")}
    first = {side: next(iter(json.loads(path.read_text())[0])) for side, path in lists.items()}
    train, test = (folder.images / first[side].split("_stimulus-")[1] for side in first)
    test.unlink()
    shutil.copyfile(train, test)


MALFORMED: dict[str, tuple[Damage, list[str], str]] = {
    "no table of stimuli": (lambda f: f.table.unlink(), [], "expected *_stiminfo.tsv, found none"),
    "another data set's table": (
        lambda f: f.table.rename(f.table.with_name("nod_stiminfo.tsv")),
        [],
        "nsd_stiminfo.tsv: a table of stimuli missing",
    ),
    "a table without sources": (
        edited("source", "origin"),
        [],
        "with the columns filename and source",
    ),
    "a stimulus that the table lacks": (
        edited("\n000000", "\n999999"),
        [],
        "1 stimuli of sub-01_NSD are not in the table, such as 000",
    ),
    "an alias beyond NSD": (
        lambda f: f.table.write_text(
            re.sub(r"jpg\t\d+", "jpg\t73000", f.table.read_text(), count=1)
        ),
        [],
        "has the alias '73000', expected NSD's number",
    ),
    "missing images": (
        lambda f: [path.unlink() for path in sorted(f.images.glob("0000*.jpg"))[:5]],
        [],
        "5 of 20 images of NSD are missing, such as 0000",
    ),
    "COCO's own images": (not_square, [], "whole images of COCO, of which NSD showed a part"),
    "an image in two folders": (
        lambda f: shutil.copytree(f.images, f.images / "copy"),
        [],
        "is also ",
    ),
    "a test image that trains": (
        copied_test_image,
        [],
        "but the same picture as the training image",
    ),
    "no stimuli": (
        lambda f: shutil.rmtree(f.root / "stimuli"),
        [],
        "expected the folder of the data",
    ),
    "stimuli of another data set": (
        lambda f: None,
        ["--stimuli", "NOD=."],
        "--stimuli: none given for NSD; give",
    ),
    "no atlas": (lambda f: f.atlas.unlink(), [], "expected one HCP-MMP atlas"),
    "another parcellation": (
        atlas(labels=np.array([f"network_{k}" for k in range(362)])),
        [],
        "this is another parcellation",
    ),
    "an atlas of other grayordinates": (
        atlas(map_all=np.zeros(64_984, np.int64)),
        [],
        "expected map_all of 91,282 whole numbers",
    ),
    "an area that is none": (
        lambda f: None,
        ["--areas", "V1,V3a"],
        "no area 'V3a' in the atlas, which has",
    ),
    "no lists": (
        lambda f: shutil.rmtree(f.root / "splits"),
        ["--split", "lists"],
        "give --split-lists DIR",
    ),
    "one list": (
        lambda f: f.split_list("test_naturalistic").unlink(),
        ["--split", "lists"],
        "test_naturalistic.json: a list of the split missing",
    ),
    "a list that is none": (
        lambda f: f.split_list("train_naturalistic").write_text('["a"]'),
        ["--split", "lists"],
        "expected a list of {'sub-01_NSD_stimulus-FILE'",
    ),
    "a list that is cut": (
        lambda f: f.split_list("train_naturalistic").write_text('[{"sub-01'),
        ["--split", "lists"],
        "train_naturalistic.json: not JSON",
    ),
    "lists that overlap": (
        both_lists,
        ["--split", "lists"],
        "2 stimuli are in lists of both sides",
    ),
    "lists for another split": (
        lambda f: None,
        ["--split-lists", "."],
        "only read by --split lists; give that, or leave it",
    ),
    "artificial images by hash": (
        lambda f: None,
        ["--split", "stimulus", "--test", "all"],
        "would train on artificial images",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_is_malformed_is_refused_in_one_line(case, folder, capsys) -> None:
    damage, options, text = MALFORMED[case]
    damage(folder)
    assert text in refused_line(folder, capsys, *options)
