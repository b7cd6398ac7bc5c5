"""Run the NOD ingest on a source that must be refused, and read its complaints."""

from pathlib import Path

from orchestrator.ingest.__main__ import main


def errors_of(folder: Path, capsys, *options: object) -> list[str]:
    """Run the command, which must refuse and write nothing, and return its complaints."""
    out = folder.parent / "data"
    assert (
        main(["nod", str(folder), "--out", str(out), "--split", "paper", *map(str, options)]) == 2
    )
    assert not out.exists()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    return [line for line in shown.err.splitlines() if line.startswith("error: ")]
