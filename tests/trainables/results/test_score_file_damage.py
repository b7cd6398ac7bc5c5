"""Score files whose metadata have changed, and those that this user may not read."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.trainables.results.test_score_files import ROI, TRIAL, written
from trainables.exceptions import Denied
from trainables.results.complete_scores import is_scored
from trainables.results.outcome import Outcome, read_ended
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import TRIAL_KEY, read_score_file


def test_a_turned_bit_of_the_footer_is_found_or_changes_nothing(tmp_path) -> None:
    """The footer has no checksum of Parquet: every bit of its trial, and a sample of the rest."""
    path = written(tmp_path)
    whole, expected = path.read_bytes(), repr(read_score_file(path).to_pydict())  # NaN is not NaN
    trial = pq.read_schema(path).metadata[TRIAL_KEY]
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    at = whole.index(trial, footer)
    unnoticed = []
    for place in (*range(at, at + len(trial), 5), *range(footer, len(whole), 23)):
        content = bytearray(whole)
        content[place] ^= 1 << place % 7
        path.write_bytes(content)
        try:
            table = read_score_file(path)
            metadata = pq.read_schema(path).metadata or {}
        except ValueError:
            continue
        # Without its trial, a file is refused where the trial is read.
        if repr(table.to_pydict()) != expected or metadata.get(TRIAL_KEY, trial) != trial:
            unnoticed.append(place - footer)
    assert unnoticed == []


def test_scores_that_this_user_may_not_read_are_not_damaged(tmp_path, monkeypatch) -> None:
    path = written(tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("trainables.results.score_files.read_parquet", refuse)
    with pytest.raises(Denied, match=r"this user may not read it \(mode 0\d+, of .*chmod"):
        read_score_file(path)


def test_scores_in_a_directory_that_this_user_may_not_read_are_not_missing(
    tmp_path, monkeypatch
) -> None:
    def refuse(self: Path, **_: object) -> bool:
        raise PermissionError(13, "Permission denied", str(self))

    written(tmp_path)
    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(Denied, match="this user may not read it"):
        is_scored(RunDirectory(tmp_path), TRIAL.id, ROI.id)


def test_a_trial_whose_scores_this_user_may_not_read_has_work_left_for_nobody(
    tmp_path, monkeypatch
) -> None:
    path, runs = written(tmp_path), RunDirectory(tmp_path)
    Outcome(TRIAL, "finished", "host", "cpu", 0.0, {}).write(runs)
    assert read_ended(runs, TRIAL) is not None

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("trainables.results.score_files.pq.ParquetFile", refuse)
    with pytest.raises(Denied, match="this user may not read it"):
        read_ended(runs, TRIAL)
