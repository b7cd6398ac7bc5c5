"""NOD folders as users' machines leave them: strangers, links, several folders, tables of Excel."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from orchestrator.ingest.checked import Findings
from orchestrator.ingest.nod.files import find_subjects
from orchestrator.ingest.nod.inspection import inspect_nod_subject
from orchestrator.ingest.settings import NodChoices
from tests.builders.nod_folder import RUNS, NodFolder, change, read
from tests.builders.nod_ingest import inspect, same
from tests.builders.refused_nod import errors_of

STRANGERS = (".DS_Store", "Thumbs.db", "desktop.ini")


def beside(path: Path) -> None:
    """Put what systems leave beside a file: metadata, a backup, a conflict, thumbnails."""
    for name in (f"._{path.name}", f"{path.name}~", *STRANGERS):
        path.with_name(name).write_bytes(b"\0\5\26\7\0\2")
    shutil.copy(path, path.with_name(f"{path.stem}.sync-conflict-20260101-000000-A{path.suffix}"))


def strangers_everywhere(folder: NodFolder) -> None:
    for path in (folder.betas(), folder.labels(), folder.events(), folder.prf, folder.atlas):
        beside(path)
    beside(folder.image())
    (folder.root / "derivatives/ciftify/@eaDir").mkdir()
    (folder.root / ".snapshot").mkdir()


def encode_events(encoding: str, **replaced: str):
    def change(folder: NodFolder) -> None:
        for run in RUNS:
            text = folder.events(*run).read_text()
            for old, new in replaced.values():
                text = text.replace(old, new)
            folder.events(*run).write_bytes(text.encode(encoding))

    return change


def labels_as_excel(folder: NodFolder) -> None:
    for run in RUNS:
        text = folder.labels(*run).read_text().replace("\n", "\r\n")
        folder.labels(*run).write_bytes(text.encode("utf-8-sig"))


def rename_subject(name: str):
    def change(folder: NodFolder) -> None:
        derived = folder.root / "derivatives/ciftify"
        (derived / "sub-01").rename(derived / name)

    return change


SOUND = {
    "strangers": strangers_everywhere,
    "events with a byte order mark": encode_events("utf-8-sig"),
    "events in UTF-16": encode_events("utf-16"),
    "events with Windows' line ends": encode_events("utf-8", ends=("\n", "\r\n")),
    "events with semicolons": encode_events("utf-8", separator=("\t", ";"), decimal=(".0;", ",0;")),
    "labels with a byte order mark": labels_as_excel,
    "a folder sub-1": rename_subject("sub-1"),
    "a folder sub01": rename_subject("sub01"),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_means_the_same_is_read_as_the_same(case, folder) -> None:
    before = inspect(folder.root)
    SOUND[case](folder)
    after = inspect(folder.root)
    derived = folder.root / "derivatives/ciftify"
    if not (derived / "sub-01").exists():
        (derived / "sub-01").symlink_to(after.responses.runs[0].parents[2].name)  # before's files
    assert same(after, before)
    assert (after.subject, after.shard) == ("sub-01", "nod-sub-01")
    if case == "strangers":
        assert after.source == before.source


def unpack_twice(path: Path) -> None:
    path.rename(path.with_name("x"))
    path.mkdir()
    path.with_name("x").rename(path / path.name)


def link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("../.git/annex/objects/x")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def move_inwards(folder: NodFolder) -> None:
    for path in list(folder.root.iterdir()):
        (folder.root / "ds004496").mkdir(exist_ok=True)
        path.rename(folder.root / "ds004496" / path.name)


UNTIDY = {
    "two folders of a subject": (
        lambda f: (f.root / "derivatives/ciftify/sub-1").mkdir(),
        "sub-01: the folder of subject 1 is also",
    ),
    "two folders of a subject's events": (
        lambda f: (f.root / "sub01").mkdir(), "sub-01: the folder of subject 1 is also",
    ),
    "two folders of a run": (
        lambda f: (f.results / "ses-imagenet1_task-imagenet_run-01").mkdir(),
        "session and run (1, 1) is also",
    ),
    "events of another subject": (
        lambda f: f.events().rename(
            f.events().with_name(f.events().name.replace("sub-01", "sub-02"))
        ),
        "events of another subject in the folder sub-01",
    ),
    "an archive": (
        lambda f: (shutil.rmtree(f.root / "derivatives"), (f.root / "ds004496.tar.gz").touch()),
        "found no subject there; unpack ",
    ),
    "one level too deep": (move_inwards, "found no subject there; give "),
    "a subject unpacked twice": (
        lambda f: unpack_twice(f.root / "derivatives/ciftify/sub-01"),
        "sub-01: holds a folder sub-01, as an archive that was unpacked into",
    ),
    "ciftify unpacked twice": (
        lambda f: unpack_twice(f.root / "derivatives/ciftify"), "ciftify: holds a folder ciftify",
    ),
    "stimuli unpacked twice": (
        lambda f: unpack_twice(f.root / "stimuli"), "stimuli: holds a folder stimuli",
    ),
    "a subject that was not fetched": (
        lambda f: (f.root / "derivatives/ciftify/sub-05").symlink_to("nowhere"),
        "sub-05: the link leads to no folder; download its content",
    ),
    "betas that are a pointer": (
        lambda f: f.betas().write_text("/annex/objects/MD5E-s1--a.nii"),
        "betas missing: a pointer of git-annex; download its content",
    ),
    "betas that are a pipe": (lambda f: pipe(f.betas()), "betas not readable: a named pipe"),
    "an atlas that is a pipe": (lambda f: pipe(f.atlas), "atlas not readable: a named pipe"),
    "an image that was not fetched": (
        lambda f: link_to_nothing(f.image()),
        "not a readable image (the link leads nowhere); download its content",
    ),
    "an image that is a pipe": (
        lambda f: pipe(f.image()), "not a readable image (a named pipe, not a file); remove it",
    ),
    "events without a number": (
        lambda f: f.events().write_text(f.events().read_text().replace("4.0\t", "n/a\t", 1)),
        "expected a number, found 'n/a'; correct it",
    ),
    "events at one time": (
        lambda f: f.events().write_text(f.events().read_text().replace("\n4.0\t", "\n0.0\t", 1)),
        "found some with equal onsets",
    ),
}  # fmt: skip


@pytest.mark.timeout(60)
@pytest.mark.parametrize("case", UNTIDY)
def test_what_can_not_be_meant_is_refused_by_name(case, folder, capsys) -> None:
    damage, text = UNTIDY[case]
    damage(folder)
    lines = errors_of(folder.root, capsys, "--subjects", "1")
    assert [line for line in lines if text in line], lines
    assert len(lines) <= 2, lines
    assert str(folder.root) in lines[0]


def test_the_same_picture_trained_and_tested_is_refused_by_name(folder, capsys) -> None:
    subject = inspect(folder.root)
    train, test = (subject.images[subject.split.sides.index(side)] for side in ("train", "test"))
    shutil.copy(train, test)
    (line,) = errors_of(folder.root, capsys, "--subjects", "1")
    assert f"{test}: a test image, but the same picture as the training image {train.name}" in line


def unused_column(folder: NodFolder) -> int:
    kept = inspect(folder.root).responses.columns
    return next(k for k in range(971) if k not in {*kept["lh"].tolist(), *kept["rh"].tolist()})


def test_vertices_without_betas_are_noted_where_they_are_not_read(folder, capsys) -> None:
    before, column = inspect(folder.root), unused_column(folder)
    expected = before.responses()
    change(folder.betas(1, 2), lambda values: values.__setitem__((slice(None), column), np.nan))
    (files,) = find_subjects(folder.root, [1], None, None)
    findings = Findings()
    after = inspect_nod_subject(NodChoices(), files, "paper", findings, lambda _: None)
    assert findings.complaints == []
    (note,) = findings.notes
    assert (
        f"6 betas are NaN or infinite, in 1 of 971 vertices: lh {vertex_of(folder, column)}" in note
    )
    for side, responses in after.responses().items():
        np.testing.assert_array_equal(responses, expected[side])
    lines = errors_of(folder.root, capsys, "--subjects", "1", "--zscore", "run-matrix")
    assert "6 betas are NaN or infinite" in lines[0]  # by the deviation of the whole cortex


def vertex_of(folder: NodFolder, column: int) -> int:
    return int(read(folder.betas())[2].vertex[column])


def test_many_images_of_one_fault_are_one_line(folder, capsys) -> None:
    for path in (folder.root / "stimuli").rglob("*.JPEG"):
        link_to_nothing(path)
    (line,) = errors_of(folder.root, capsys, "--subjects", "1")
    assert "and 21 more (24 in all): not a readable image (the link leads nowhere)" in line


def test_subjects_are_named_by_number_whatever_their_folders_are_called(folder) -> None:
    rename_subject("sub1")(folder)
    assert [files.subject for files in find_subjects(folder.root, None, None, None)] == [
        "sub-01",
        "sub-02",
    ]
