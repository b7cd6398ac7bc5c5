"""Names that exactly one process can create, with hard links and without."""

import errno
import os
import threading
from pathlib import Path

import pytest

from tests.builders.file_systems import refuse_links
from trainables.storage.local_files import create


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
