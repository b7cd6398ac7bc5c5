"""What `ingest check` must do with a source of any layout."""

from pathlib import Path

from orchestrator.ingest.__main__ import main


def require_checked(source: Path, layout: str, subject: str, file: str, capsys) -> None:
    """Check a sound source, damage the first of the named files, and check it again."""
    assert main(["check", str(source)]) == 0
    shown = capsys.readouterr().out
    assert f"layout of `ingest {layout}`" in shown
    assert subject in shown
    path = min(source.rglob(file))
    kept = path.read_bytes()[:100]
    path.unlink()  # which may be a link to the file of another test
    path.write_bytes(kept)
    before = sorted(source.parent.rglob("*"))
    assert main(["check", str(source)]) == 2
    assert path.name in capsys.readouterr().err
    assert sorted(source.parent.rglob("*")) == before
