"""Which entries of a user's folder are the data set's, and which of them can be read."""

import os
import socket
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import (
    folders_below,
    is_stranger,
    list_entries,
    list_tree,
    obstacle,
    require_file,
    require_folder,
)

STRANGERS = (
    *(".DS_Store", "._0001.png", ".snapshot", ".ipynb_checkpoints", ".nfs000012", ".git"),
    *("Thumbs.db", "thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini", "$RECYCLE.BIN"),
    *("@eaDir", "#recycle", "#snapshot", "__MACOSX", "lost+found", "System Volume Information"),
    *("0001.png~", "~$events.tsv", "#0001.png#", "0001.png.bak", "0001.png.tmp", ".0001.png.swp"),
    *("0001.sync-conflict-20260102-030405-ABCDEF.png", "0001 (Ann's conflicted copy).png"),
)
OURS = ("0001.png", "dog (1).png", "a~b.png", "n01440764", "subj01", "tmp", "thumbs.png", "dog#1")


@pytest.mark.parametrize("name", STRANGERS)
def test_what_systems_leave_is_a_stranger(name, tmp_path) -> None:
    (tmp_path / name).touch()
    (tmp_path / "0001.png").touch()
    assert is_stranger(name)
    entries = list_entries(tmp_path)
    assert [path.name for path in entries.kept] == ["0001.png"]
    assert [path.name for path in entries.strangers] == [name]


@pytest.mark.parametrize("name", OURS)
def test_a_name_of_the_data_set_is_no_stranger(name) -> None:
    assert not is_stranger(name)


@pytest.mark.parametrize("name", ["a.png.part", "a.png.crdownload", ".a.png.icloud", "a.filepart"])
def test_an_unfinished_download_is_named_and_not_left_out(name, tmp_path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{name}: its download was not finished"):
        list_entries(tmp_path).require_finished()


def test_a_tree_is_listed_once_without_hidden_directories(tmp_path) -> None:
    for place in ("a/b", "a/.ipynb_checkpoints", "a/@eaDir"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "1.png").touch()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "c").symlink_to(tmp_path / "a" / "b")
    entries = list_tree(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in entries.kept] == ["a/b/1.png", "c/1.png"]
    assert {path.name for path in entries.strangers} == {".ipynb_checkpoints", "@eaDir"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nowhere", "found nothing there; give another SRC"),
        ("a.png", "found a file there; give another SRC"),
        ("subj01.ZIP", "an archive; unpack it, and give the folder that this makes"),
        ("ds.tar.gz", "an archive; unpack it, and give the folder that this makes"),
    ],
)
def test_a_source_that_is_no_folder_is_refused_with_what_it_is(name, text, tmp_path) -> None:
    if name != "nowhere":
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{name}: .*{text}"):
        require_folder(tmp_path / name)
    require_folder(tmp_path)


def test_folders_are_looked_for_a_few_levels_below_without_strangers(tmp_path) -> None:
    (tmp_path / "a/b/c/d").mkdir(parents=True)
    (tmp_path / "__MACOSX/subj01").mkdir(parents=True)
    (tmp_path / "e").mkdir()
    found = [str(path.relative_to(tmp_path)) for path in folders_below(tmp_path)]
    assert found == ["a", "e", "a/b", "a/b/c"]


def make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's address is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


OBSTACLES = {
    "nothing": (lambda path: None, "missing; download"),
    "a link to nothing": (
        lambda path: path.symlink_to(".git/annex/objects/x"),
        "missing: the link leads nowhere; download its content (datalad get)",
    ),
    "links in a circle": (lambda path: path.symlink_to(path), "not readable: Too many levels"),
    "a named pipe": (os.mkfifo, "not readable: a named pipe, not a file; remove it"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "a device, not a file"),
    "a socket": (make_socket, "a socket, not a file"),
    "a directory": (Path.mkdir, "a directory, not a file"),
    "an empty file": (Path.touch, "missing: an empty file"),
    "git-annex's pointer": (
        lambda path: path.write_text("/annex/objects/MD5E-s10--abc.png\n"),
        "missing: a pointer of git-annex; download its content",
    ),
    "Git LFS's pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "missing: a pointer of Git LFS; download its content",
    ),
}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("case", OBSTACLES)
def test_what_is_no_file_is_named_with_a_cure_and_never_opened(case, tmp_path) -> None:
    make, text = OBSTACLES[case]
    path = tmp_path / "0001.png"
    make(path)
    with pytest.raises(InputError) as refused:
        require_file(path, "image")
    assert str(refused.value).startswith(f"{path}: image ")
    assert text in str(refused.value)


def test_a_file_and_a_link_to_one_can_be_read(tmp_path) -> None:
    (tmp_path / "a").write_text("/annex/ is only mentioned")
    (tmp_path / "b").symlink_to("a")
    assert obstacle(tmp_path / "a") is None
    assert obstacle(tmp_path / "b") is None
