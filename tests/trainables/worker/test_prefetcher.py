"""The thread that prefetches: when it starts and stops, and that it never harms a trial."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.builders.listeners import Quiet
from tests.builders.prefetches import ROWS, VERTICES, prefetch_of, read, small_files, trials
from tests.builders.tiny_runs import Place, place, scores, without_ray
from trainables.data import verification
from trainables.spec.evaluation import WorkItem
from trainables.storage import s3_mirror
from trainables.storage.s3_mirror import CheckDownload
from trainables.worker import prefetch as prefetch_module
from trainables.worker.prefetch import Prefetcher
from trainables.worker.subject_cache import SubjectCache

__all__ = ["place", "read", "small_files", "without_ray"]
pytestmark = pytest.mark.usefixtures("small_files", "without_ray")


class Downloading:
    """A download in parts, which ends when a test says so, or what checks it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        self.ends: list[str] = []
        monkeypatch.setattr(s3_mirror, "pull_file", self._download)

    def _download(self, path: Path, check: CheckDownload) -> None:
        if check is s3_mirror.allow:
            return  # the trial's own
        check(path, 1)
        self.begun.set()
        try:
            for _ in range(1000):
                check(path, 0)
                if self.open.wait(0.01):
                    break
        except Exception:
            self.ends.append("abandoned")
            raise
        self.ends.append("complete")


@pytest.mark.parametrize(
    ("roi", "size", "end"),
    [
        (6, None, "complete"),  # another trial of the same subject needs the file too
        (6, 32, "abandoned"),  # at an image size of its own
        (1, None, "abandoned"),
    ],
)
def test_a_wrong_guess_is_downloaded_to_its_end_only_for_the_trial_that_comes(
    place, read, monkeypatch, roi, size, end
) -> None:
    present, following = trials(place)
    downloading = Downloading(monkeypatch)
    prefetcher = started(place, present, lambda: following)
    assert downloading.begun.wait(10)
    trial = place.trial(roi=roi)
    threading.Timer(0.1, downloading.open.set).start()
    prefetcher.stop(replace(trial, backbone=replace(trial.backbone, image_size=size)))
    prefetcher._thread.join(10)
    assert downloading.ends == [end]


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
    assert runner._subjects.image_sizes == dict.fromkeys(runner.held, 32)


def test_a_runner_prefetches_within_a_quarter_of_the_free_memory(place, read, monkeypatch) -> None:
    present, following = place.untuned(0), place.untuned(5)
    sizes = [(place.home / "data" / name).stat().st_size for name in ROWS]
    monkeypatch.setattr(SubjectCache, "free_host_bytes", lambda self: 4 * sum(sizes) - 1)
    runner = place.runner()
    runner.run(present, Foreseeing(following))
    runner._prefetcher._thread.join(10)
    assert [name for name in read if name != VERTICES] == ROWS[:2]


class Interrupted(Foreseeing):
    """Interrupts the trial as soon as something happens."""

    def __init__(self, following: WorkItem, begun: threading.Event) -> None:
        super().__init__(following)
        self.begun = begun

    def stage(self, name: str) -> None:
        if name == "encoding":
            assert self.begun.wait(10)
            raise KeyboardInterrupt


def test_a_download_ends_with_the_trial_that_is_interrupted(place, read, monkeypatch) -> None:
    downloading = Downloading(monkeypatch)
    runner = place.runner()
    with pytest.raises(KeyboardInterrupt):
        runner.run(place.untuned(0), Interrupted(place.untuned(5), downloading.begun))
    runner._prefetcher._thread.join(10)
    assert (downloading.ends, read) == (["abandoned"], [])


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
