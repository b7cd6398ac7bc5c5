"""Folders as users' machines leave them: strangers, links, several folders, masks made by hand."""

import os
import shutil

import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.algonauts.files import find_subjects
from orchestrator.ingest.algonauts.inspection import inspect_subject
from orchestrator.ingest.checked import Findings
from tests.builders.algonauts_folder import Folder, place, write_folder
from tests.builders.algonauts_ingest import inspect
from tests.builders.refused_ingest import errors_of

STRANGERS = (".DS_Store", "._train-0001_nsd-00000.png", "Thumbs.db", "desktop.ini", "a.png~")


def refused(root, capsys) -> list[str]:
    out = root.parent / "data"
    lines = errors_of(["algonauts", root, "--out", out, "--split", "paper"], capsys)
    assert not out.exists()
    return lines


@pytest.mark.parametrize("layout", ["subject-first", "split-first"])
def test_strangers_everywhere_change_nothing_and_are_named_once(tmp_path, layout) -> None:
    folder = write_folder(tmp_path / "source", layout=layout)
    (before,) = find_subjects(folder.root, None, None)
    digest, subject = before.digest(), inspect(folder.root)
    folders = {folder.root, folder.images, folder.fmri, folder.masks, folder.images.parent}
    for name in STRANGERS:
        for where in folders:
            (where / name).write_bytes(b"\0\5\26\7")
    (folder.images / "@eaDir").mkdir()
    (files,) = find_subjects(folder.root, None, None)
    findings = Findings()
    after = inspect_subject(files, "paper", findings, lambda _: None)
    assert findings.complaints == []
    assert files.digest() == digest
    assert files.count_images() == 12
    assert (after.images, after.stimuli) == (subject.images, subject.stimuli)
    (note,) = findings.notes
    assert "left out" in note
    assert "and 3 more (6 in all)" in note


def another_folder(folder: Folder) -> None:
    shutil.copytree(place(folder.root, 2).masks.parent, folder.root / "Subj1")
    shutil.rmtree(folder.root / "subj02")


def unpack_twice(path) -> None:
    path.rename(path.with_name("x"))
    path.mkdir()
    path.with_name("x").rename(path / path.name)


def link_to_nothing(path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("../.git/annex/objects/x")


def pipe(path) -> None:
    path.unlink()
    os.mkfifo(path)


UNTIDY = {
    "two folders of a subject": (another_folder, "/Subj1: the folder of subject 1 is also"),
    "a subject unpacked twice": (
        lambda f: unpack_twice(f.root / "subj01"),
        "subj01: holds a folder subj01, as an archive that was unpacked into",
    ),
    "masks unpacked twice": (lambda f: unpack_twice(f.masks), "roi_masks: holds a folder"),
    "images unpacked twice": (lambda f: unpack_twice(f.images), "training_images: holds a folder"),
    "a link to no subject": (
        lambda f: (f.root / "subj03").symlink_to("nowhere"),
        "subj03: the link leads to no folder; download its content",
    ),
    "a mask that was not fetched": (
        lambda f: [
            link_to_nothing(path)
            for path in (f.mask("lh", "streams"), f.mask("rh", "streams"))
        ],
        "ROI mask missing: the link leads nowhere; download its content",
    ),
    "a family that was not fetched": (
        lambda f: [
            link_to_nothing(path)
            for path in (f.mask("lh", "streams"), f.mask("rh", "streams"), f.mapping("streams"))
        ],
        "streams_challenge_space.npy: ROI mask missing: the link leads nowhere",
    ),
    "a mesh that was not fetched": (
        lambda f: link_to_nothing(f.mesh("lh")),
        "fsaverage mesh vertices missing: the link leads nowhere",
    ),
    "responses that are a pointer": (
        lambda f: f.responses("lh").write_text("/annex/objects/MD5E-s1--a.npy"),
        "responses missing: a pointer of git-annex",
    ),
    "an image that was not fetched": (
        lambda f: link_to_nothing(f.image(3)),
        "not a readable image (the link leads nowhere); download its content",
    ),
    "an image that is a pipe": (
        lambda f: pipe(f.image(3)),
        "not a readable image (a named pipe, not a file); remove it",
    ),
    "responses that are a pipe": (
        lambda f: pipe(f.responses("rh")),
        "responses not readable: a named pipe, not a file; remove it",
    ),
    "an unfinished download": (
        lambda f: f.image(3).rename(f.image(3).with_suffix(".png.part")),
        "train-0004_nsd-00301.png.part: its download was not finished",
    ),
    "a file with and without prefix": (
        lambda f: shutil.copy(f.mask("lh"), f.masks / f"subj1_{f.mask('lh').name}"),
        "the file lh.prf-visualrois_challenge_space.npy is also",
    ),
    "archives that were not unpacked": (
        lambda f: (shutil.rmtree(f.root / "subj01"), (f.root / "subj01.zip").touch()),
        "found neither; unpack ",
    ),
    "full-width digits": (
        lambda f: f.image(0).rename(f.images / "train-0001_nsd-０００００.png"),
        "expected a name such as train-0001_nsd-00013.png",
    ),
    "a name that is no UTF-8": (
        lambda f: os.rename(f.image(0), os.fsencode(f.images) + b"/train-caf\xe9.png"),  # noqa: PTH104
        r"train-caf\xe9.png: expected a name such as",
    ),
    "the same picture trained and tested": (
        lambda f: shutil.copy(f.image(2), f.image(11)),  # rows 6 and 11 test
        "train-0012_nsd-01101.png: a test image, but the same picture as the training image "
        "train-0003",
    ),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", UNTIDY)
def test_what_can_not_be_meant_is_refused_by_name(case, tmp_path, capsys) -> None:
    damage, text = UNTIDY[case]
    folder = write_folder(tmp_path / "source", (1, 2) if case.startswith("two") else (1,))
    damage(folder)
    lines = refused(folder.root, capsys)
    assert any(text in line for line in lines), lines
    assert len(lines) <= 3, lines
    if case.startswith("two"):
        assert "/subj01;" in lines[0]


def test_many_images_of_one_fault_are_one_line(tmp_path, capsys) -> None:
    folder = write_folder(tmp_path / "source", n_images=30)
    for row in range(30):
        link_to_nothing(folder.image(row))
    (line,) = refused(folder.root, capsys)
    assert "train-0003" in line
    assert "and 27 more (30 in all): not a readable image (the link leads nowhere)" in line
    assert "train-0004" not in line


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.int8, np.uint16, ">i4"])
def test_labels_of_any_type_are_whole_numbers(kind, tmp_path) -> None:
    folder = write_folder(tmp_path)
    before = inspect(tmp_path).hemispheres["lh"].regions
    np.save(folder.mask("lh"), np.load(folder.mask("lh")).astype(kind))
    after = inspect(tmp_path).hemispheres["lh"].regions
    assert {roi: v.tolist() for roi, v in after.items()} == {
        roi: v.tolist() for roi, v in before.items()
    }


@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_where_there_is_no_cortex_there_is_no_label(kind, tmp_path) -> None:
    folder = write_folder(tmp_path)
    labels = np.load(folder.mask("lh"))
    np.save(folder.mask("lh"), np.where(labels == 0, -1, labels).astype(kind))
    regions = inspect(tmp_path).hemispheres["lh"].regions
    assert regions["V1v"].tolist() == [1, 2, 3]
    assert sum(len(regions[roi]) for roi in ("V1v", "V1d", "V2v")) == 6


def test_vertices_without_responses_are_noted_where_they_are_in_no_roi(tmp_path) -> None:
    folder = write_folder(tmp_path)
    for hemisphere, vertices in (("lh", [6]), ("rh", [2, 4])):
        responses = np.load(folder.responses(hemisphere))
        responses[:, vertices] = np.nan
        np.save(folder.responses(hemisphere), responses)
    (files,) = find_subjects(tmp_path, None, None)
    findings = Findings()
    subject = inspect_subject(files, "paper", findings, lambda _: None)
    assert findings.complaints == []
    assert subject.hemispheres["rh"].n_vertices == 8
    left, right = findings.notes
    assert "lh_training_fmri.npy: 1 of 10 vertices have NaN" in left
    assert "lie in no ROI, so that they are never scored: 2, 4" in right


def test_two_folders_are_refused_also_where_another_subject_is_wanted(tmp_path) -> None:
    folder = write_folder(tmp_path, (1, 2))
    (folder.root / "SUBJ01").mkdir()
    with pytest.raises(InputError, match="the folder of subject 1 is also"):
        find_subjects(tmp_path, [2], None)
