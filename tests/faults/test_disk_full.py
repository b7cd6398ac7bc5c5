"""A disk that is really full, while a checkpoint, a score, an outcome or a shard is written."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from benchmarks.small_shards import write_shards
from orchestrator.execution.monitor import Watcher
from orchestrator.ingest.writer import write_subject
from tests.builders.algonauts_folder import write_folder
from tests.builders.algonauts_ingest import SETTINGS, batches, inspect
from tests.builders.tiny_runs import CPU, Listener, Place, scores
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.encoding.features import FeatureStore, Storage
from trainables.exceptions import DiskFull
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_score_file
from trainables.training.checkpoint_notes import read_history

pytestmark = [
    pytest.mark.usefixtures("without_ray"),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root"),
]
SIZES_KIB = (4, 24, 48, 96, 128, 160, 192, 224, 256, 320)


@contextmanager
def disk(path: Path, kib: int) -> Iterator[None]:
    """Have a disk of so many KiB at a path within the block; skip where none can be mounted."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(path)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a full disk was not tested: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def enlarge(path: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(path)], check=True)


def attempt(action: Callable[[], object]) -> str | None:
    """Do something; return what its error says, of the file system, safetensors or pyarrow."""
    try:
        action()
    except Exception as error:
        return str(error)
    return None


def check_whole(runs: Path) -> None:
    """Assert that every file that is there can be read, and that no half of one is left."""
    assert [path for path in runs.rglob(".*") if path.is_file()] == []
    for path in runs.glob("scores/*/*.parquet"):
        read_score_file(path)
    for path in (*runs.glob("trials/*.json"), *runs.glob("checkpoints/*/*.json")):
        json.loads(path.read_text())


def test_a_trial_on_a_full_disk_fails_leaves_nothing_half_written_and_goes_on_with_room(
    place: Place,
) -> None:
    trial = place.trial()
    place.runner("undisturbed").run(trial, Listener())
    expected = scores(place, trial, "undisturbed")
    reached = set()
    for kib in SIZES_KIB:
        runs = place.home / f"disk-{kib}"
        with disk(runs, kib):
            message = attempt(lambda runs=runs: place.runner(runs.name).run(trial, Listener()))
            if message is not None:
                assert "space" in message.lower()
                n_epochs = len(read_history(place.context(runs.name).checkpoint(trial)))
                reached.add((n_epochs, any(runs.glob("scores/*/*"))))
            check_whole(runs)
            enlarge(runs)
            assert place.runner(runs.name).run(trial, Listener()).status == "finished"
            assert scores(place, trial, runs.name) == expected
    assert len(reached) >= 2, reached  # before and after the first checkpoint


def test_a_subject_on_a_full_disk_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    subject = inspect(write_folder(tmp_path / "source", (1,)).root)
    written = set()
    for kib in (4, 8, 16, 24, 8192):
        data = tmp_path / f"disk-{kib}"
        with disk(data, kib):
            message = attempt(
                lambda data=data: write_subject(
                    subject, batches(subject), DataDirectory(data), SETTINGS
                )
            )
            assert message is None or "No space left" in message
            written.add(bool(DataDirectory(data).shards()))
            assert list(data.rglob(".*")) == []
            enlarge(data)
            if not DataDirectory(data).shards():
                write_subject(subject, batches(subject), DataDirectory(data), SETTINGS)
            assert len(list_rois(DataDirectory(data))) > 0
    assert written == {False, True}


def test_a_failure_that_cannot_be_written_down_is_still_shown(tmp_path: Path) -> None:
    shown: list[tuple[str, str]] = []

    class Seen:
        def failed(self, trial_id: str, error: str) -> None:
            shown.append((trial_id, error))

        def due(self, trial_ids: list[str]) -> None: ...

    rois = write_shards(tmp_path / "data")
    from trainables.exceptions import Failure
    from trainables.spec import Trial, Untuned

    trial = Trial(Untuned(), (rois[0],))
    with disk(tmp_path / "runs", 4):
        for number in range(9):
            try:
                (tmp_path / "runs" / f"ballast-{number}").write_bytes(b"x" * 4096)
            except OSError:
                break
        runs = RunDirectory(tmp_path / "runs")
        watcher = Watcher(Seen(), Seen(), {trial.id: trial}, runs)  # type: ignore[arg-type]
        watcher.failed(trial.id, Failure("unexpected", "a defect"))
    assert shown == [(trial.id, shown[0][1])]
    assert "a defect" in shown[0][1]
    assert "No space left" in shown[0][1]


def test_features_on_a_disk_that_fills_up_are_refused_at_first_or_written_whole(
    tmp_path: Path,
) -> None:
    home = tmp_path / "scratch"
    with disk(home, 256):
        with pytest.raises(DiskFull, match=rf"No space left on device in {home}: .* are missing"):
            FeatureStore.allocate({"a": 1000, "b": 24}, 80, Storage(CPU, 0, home))
        assert list(home.iterdir()) == []
        with FeatureStore.allocate({"a": 250, "b": 6}, 128, Storage(CPU, 0, home)) as store:
            assert attempt(lambda: (home / "other").write_bytes(bytes(2**18))) is not None
            values = torch.arange(128.0)[:, None]
            for start in (0, 64):  # room for these was taken before the disk was full
                rows = values[start : start + 64]
                store.write(start, {"a": rows.expand(-1, 250), "b": rows.expand(-1, 6)})
            for layer, width in (("a", 250), ("b", 6)):
                found = torch.cat(list(store.columns(layer)), dim=1)
                assert torch.equal(found, values.expand(-1, width))
        (home / "other").unlink()
        assert shutil.disk_usage(home).used == 0
