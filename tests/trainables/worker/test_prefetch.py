"""What is prefetched of the next trial, and that it never harms the present one."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.builders.listeners import Quiet
from tests.builders.tiny_checkpoints import Training
from tests.builders.tiny_runs import CONTRASTIVE, Place, place, scores, without_ray
from trainables.data import rows, verification
from trainables.spec.evaluation import Evaluation, WorkItem
from trainables.storage import s3_mirror
from trainables.storage.s3_mirror import CheckDownload
from trainables.worker import prefetch as prefetch_module
from trainables.worker.prefetch import Prefetch, Prefetcher
from trainables.worker.subject_cache import SubjectCache

__all__ = ["place", "without_ray"]
pytestmark = pytest.mark.usefixtures("small_files", "without_ray")

ROWS = [f"nsd-subj02/rows-0000{number}.parquet" for number in range(3)]
VERTICES = "nsd-subj02/vertices.parquet"
AMPLE = 10**9


@pytest.fixture
def small_files(monkeypatch) -> None:
    for name in ("ROWS_PER_ROW_GROUP", "ROWS_PER_FILE"):
        monkeypatch.setattr(rows, name, 20)


@pytest.fixture
def read(monkeypatch) -> list[str]:
    """The files that are read, in order."""
    found: list[str] = []

    def note(path: Path, *expected: str) -> None:
        found.append(f"{path.parent.name}/{path.name}")

    monkeypatch.setattr(prefetch_module, "verify", note)
    monkeypatch.setattr(prefetch_module, "hash_unchanged", note)
    return found


def prefetch_of(place: Place, present: WorkItem, memory: int = AMPLE) -> Prefetch:
    return Prefetch(place.context(), present, frozenset(present.shards), memory)


def trials(place: Place) -> tuple[WorkItem, WorkItem]:
    """A trial on the first subject, and one on the second."""
    return place.trial(roi=0), place.trial(roi=5)


def test_files_of_subjects_that_the_worker_does_not_hold_are_read(place, read) -> None:
    present, following = trials(place)
    assert following.shards == ("nsd-subj02",)
    prefetch_of(place, present).run(lambda: following)
    assert sorted(read) == [*ROWS, VERTICES]
    read.clear()
    prefetch_of(place, following).run(lambda: following)
    assert read == []


def test_files_of_other_data_than_the_trial_was_planned_on_are_not_read(place, read) -> None:
    present, following = trials(place)
    [roi] = following.rois
    prefetch_of(place, present).run(lambda: replace(following, rois=(replace(roi, data="0" * 8),)))
    assert read == []


def test_a_backbone_is_read_where_it_is_another_one(place, read) -> None:
    present, _ = trials(place)
    prefetch_of(place, present).run(lambda: replace(present, seed=1))
    assert read == []
    other = replace(present, backbone=replace(present.backbone, architecture="alexnet"))
    prefetch_of(place, present).run(lambda: other)
    assert read == [f"{place.home.name}/weights.pt"]


def test_no_more_bytes_are_read_than_memory_is_free(place, read) -> None:
    present, following = trials(place)
    prefetch_of(place, present, memory=0).run(lambda: following)
    assert read == []
    sizes = [(place.home / "data" / name).stat().st_size for name in ROWS]
    prefetch_of(place, present, memory=sizes[0] + sizes[1]).run(lambda: following)
    assert [name for name in read if name != VERTICES] == ROWS[:2]


def test_the_checkpoint_of_an_evaluation_is_read_and_not_the_weights_it_started_from(
    place, read
) -> None:
    model = place.trial(CONTRASTIVE)
    training = Training(place.context().checkpoint(model).path)
    training.epoch()
    training.end()
    prefetch_of(place, model).run(lambda: Evaluation(model, (place.rois[5],)))
    [checkpoint, *of_subject] = read
    assert checkpoint == f"{model.training_id}/epoch-0001.safetensors"
    assert sorted(of_subject) == [*ROWS, VERTICES]


@dataclass
class Downloads:
    """Objects in S3 of some bytes that no copy here has, on a disk of 100 bytes."""

    started: list[str]

    @classmethod
    def noted(cls, monkeypatch: pytest.MonkeyPatch, n_bytes: int, free: int) -> "Downloads":
        self = cls([])

        def disk_usage(path: Path) -> SimpleNamespace:
            assert path.is_dir()
            return SimpleNamespace(free=free, total=100)

        def download(path: Path, check: CheckDownload) -> None:
            check(path.with_name("no-mirror-yet") / path.name, n_bytes)
            self.started.append(path.name)

        monkeypatch.setattr(prefetch_module.shutil, "disk_usage", disk_usage)
        monkeypatch.setattr(s3_mirror, "pull_file", download)
        return self


@pytest.mark.parametrize(("n_bytes", "free", "n_files"), [(40, 50, 4), (41, 50, 0), (0, 9, 0)])
def test_files_are_downloaded_where_they_leave_a_tenth_of_the_disk_free(
    place, read, monkeypatch, n_bytes, free, n_files
) -> None:
    present, following = trials(place)
    downloads = Downloads.noted(monkeypatch, n_bytes, free)
    prefetch_of(place, present).run(lambda: following)
    assert len(downloads.started) == len(read) == n_files


def test_files_of_a_checkpoint_in_s3_are_downloaded_until_stopped(place, read, monkeypatch) -> None:
    model, left = place.trial(CONTRASTIVE), []
    prefetch = prefetch_of(place, model)

    def pull(directory: Path, *, check: CheckDownload, **options) -> None:
        check(directory / "epoch-0001.safetensors", 1)
        left.append(directory.name)
        prefetch.stopped.set()
        check(directory / "epoch-0002.safetensors", 1)
        left.append("not stopped")

    monkeypatch.setattr(s3_mirror, "pull", pull)
    prefetch.run(lambda: Evaluation(model, (place.rois[5],)))
    assert (left, read) == ([model.training_id], [])


class Gate:
    """A read that waits to be let through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        self.n_read = 0
        monkeypatch.setattr(prefetch_module, "verify", self._read)

    def _read(self, path: Path, expected: str) -> None:
        self.begun.set()
        assert self.open.wait(10)
        self.n_read += 1


def started(place: Place, present: WorkItem, upcoming: Callable[[], WorkItem | None]) -> Prefetcher:
    prefetcher = Prefetcher()
    prefetcher.start(prefetch_of(place, present), upcoming)
    assert prefetcher._thread is not None
    return prefetcher


def test_a_wrong_guess_is_not_waited_for_and_stops_after_its_file(place, monkeypatch) -> None:
    present, following = trials(place)
    gate = Gate(monkeypatch)
    prefetcher = started(place, present, lambda: following)
    thread = prefetcher._thread
    assert thread.daemon
    assert gate.begun.wait(10)
    prefetcher.stop(place.trial(roi=1))  # returns, though the file is not read
    prefetcher.start(prefetch_of(place, present), lambda: following)
    assert prefetcher._thread is thread  # no second one beside it
    gate.open.set()
    thread.join(10)
    assert gate.n_read == 1


def test_the_trial_that_was_guessed_waits_for_its_file_and_reads_the_others(
    place, monkeypatch
) -> None:
    present, following = trials(place)
    gate = Gate(monkeypatch)
    prefetcher = started(place, present, lambda: following)
    assert gate.begun.wait(10)
    threading.Timer(0.05, gate.open.set).start()
    prefetcher.stop(following)
    assert gate.n_read == 1
    assert not prefetcher._thread.is_alive()


def test_the_queue_is_asked_again_until_it_knows_a_trial(place, read) -> None:
    present, following = trials(place)
    prefetcher = started(place, present, lambda: None)
    for upcoming in (following, present):
        prefetcher._thread.join(10)
        prefetcher.start(prefetch_of(place, present), lambda upcoming=upcoming: upcoming)
    prefetcher._thread.join(10)
    assert sorted(read) == [*ROWS, VERTICES]


class Foreseeing(Quiet):
    """Knows what comes next, and what the worker then had in memory; or fails to know."""

    def __init__(self, following: WorkItem | None) -> None:
        self.following = following
        self.held: list[frozenset[str]] = []

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        self.held.append(held)
        if self.following is None:
            raise ConnectionError("the queue is gone")
        return self.following


def test_a_runner_prefetches_and_the_next_trial_hashes_nothing(place, monkeypatch) -> None:
    present, following = place.untuned(0), place.untuned(5)
    runner, listener = place.runner(), Foreseeing(following)
    runner.run(present, listener)
    runner._prefetcher._thread.join(10)
    assert listener.held == [frozenset(present.shards)] == [runner.held]
    monkeypatch.setattr(verification, "hashlib", None)
    runner.run(following, Foreseeing(following))
    assert runner.held == {*present.shards, *following.shards}


def test_a_runner_prefetches_within_a_quarter_of_the_free_memory(place, read, monkeypatch) -> None:
    present, following = place.untuned(0), place.untuned(5)
    sizes = [(place.home / "data" / name).stat().st_size for name in ROWS]
    monkeypatch.setattr(SubjectCache, "free_host_bytes", lambda self: 4 * sum(sizes) - 1)
    runner = place.runner()
    runner.run(present, Foreseeing(following))
    runner._prefetcher._thread.join(10)
    assert [name for name in read if name != VERTICES] == ROWS[:2]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_failing_prefetch_leaves_the_trial_as_it_is(place, is_known) -> None:
    present, following = place.untuned(0), place.untuned(5)
    [roi] = following.rois
    gone = replace(following, rois=(replace(roi, subject="subj09"),)) if is_known else None
    runner = place.runner()
    assert runner.run(present, Foreseeing(gone)).status == "finished"
    runner._prefetcher._thread.join(10)
    place.runner("plain").run(present, Quiet())
    assert scores(place, present) == scores(place, present, "plain")
