"""Files that exactly one process can create, with hard links and without; what exists of a path."""

import errno
import os
import threading
from pathlib import Path

import pytest

from tests.builders.file_systems import refuse_links
from trainables.storage.local_files import create, existing_part


@pytest.fixture(params=[True, False], ids=["hard links", "no hard links"])
def has_links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        refuse_links(monkeypatch)
    return bool(request.param)


def test_of_many_exactly_one_creates_a_file_and_its_content_is_whole(
    tmp_path: Path, has_links: bool
) -> None:
    begin, won = threading.Barrier(8), []

    def contend(number: int) -> None:
        source = tmp_path / f"source-{number}"
        source.write_text(f"{number}" * 1000)
        begin.wait()
        try:
            create(source, tmp_path / "target")
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=contend, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    [number] = won
    assert (tmp_path / "target").read_text() == f"{number}" * 1000


def test_a_file_that_exists_is_left(tmp_path: Path, has_links: bool) -> None:
    for name in ("source", "target"):
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        create(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "target"


def test_other_errors_of_a_link_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").touch()
    refuse_links(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        create(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_the_existing_part_of_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    found = {
        name: existing_part(Path(name)).relative_to(tmp_path)
        for name in ("", "a", "a/b/c", "b/c", "link/x", "file/x", "x" * 300)
    }
    assert [str(one) for one in found.values()] == [".", "a", "a", ".", ".", "file", "."]
    assert existing_part(Path("/")) == Path("/")


def test_the_existing_part_is_the_one_that_this_user_may_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, look = tmp_path / "closed" / "inner", os.stat

    def refusing(path: str | Path, *args: object, **options: object) -> os.stat_result:
        if str(path).startswith(str(hidden)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return look(path, *args, **options)  # type: ignore[arg-type]

    hidden.mkdir(parents=True)
    monkeypatch.setattr(os, "stat", refusing)
    assert existing_part(hidden / "deep") == tmp_path / "closed"
