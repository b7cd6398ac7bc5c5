"""The directory of Ray's own files: in Ray's session where that is writable, and removed."""

from pathlib import Path

import pytest

from orchestrator.cluster import session_files as module
from orchestrator.cluster.session_files import session_files


class Context:
    """A runtime context whose session is in a directory."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def get_temp_dir(self) -> str:
        return str(self._home)

    def get_session_name(self) -> str:
        return "session"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module.ray, "get_runtime_context", lambda: Context(tmp_path))
    monkeypatch.setattr(module.tempfile, "tempdir", str(tmp_path))
    return tmp_path / "session"


def test_each_run_has_a_directory_in_the_session_until_it_ends(session: Path) -> None:
    session.mkdir()
    with session_files() as first, session_files() as second:
        assert first != second
        assert Path(first).parent == Path(second).parent == session
        (Path(first) / "tune" / "trial").mkdir(parents=True)
    assert list(session.iterdir()) == []


def test_it_is_removed_when_the_run_is_interrupted(session: Path) -> None:
    session.mkdir()
    with pytest.raises(KeyboardInterrupt), session_files():
        raise KeyboardInterrupt
    assert list(session.iterdir()) == []


def test_where_the_session_is_on_another_machine_or_of_another_user_it_is_elsewhere(
    session: Path,
) -> None:
    assert not session.exists()
    with session_files() as path:
        assert Path(path).parent == session.parent
    assert not Path(path).exists()
