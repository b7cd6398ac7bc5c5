"""Where a command looks when it is not told."""

from pathlib import Path

import pytest

from orchestrator.cli.arguments import Places, find_places
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory


@pytest.mark.parametrize(
    ("there", "found"),
    [
        ([], Places(RunDirectory(Path("runs")), DataDirectory(Path("data")), is_demo=False)),
        (
            ["demo/runs"],
            Places(RunDirectory(Path("demo/runs")), DataDirectory(Path("demo/data")), is_demo=True),
        ),
        (
            ["demo/runs", "runs"],
            Places(RunDirectory(Path("runs")), DataDirectory(Path("data")), is_demo=False),
        ),
    ],
)
def test_the_demonstration_is_meant_where_only_that_exists(
    there: list[str], found: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in there:
        Path(name).mkdir(parents=True)
    assert find_places(None) == found


def test_data_is_looked_for_beside_the_sweep(tmp_path: Path) -> None:
    runs, data = tmp_path / "a" / "runs", DataDirectory(tmp_path / "b")
    assert find_places(RunDirectory(runs)) == Places(
        RunDirectory(runs), DataDirectory(tmp_path / "a" / "data"), is_demo=False
    )
    assert find_places(RunDirectory(runs), data) == Places(RunDirectory(runs), data, is_demo=False)
