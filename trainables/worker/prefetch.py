"""Prefetch the files of the trial that probably comes next, while the present one computes.

From S3 these are downloads; elsewhere the files are read into the page cache, and hashed, which a
process does once for each file. Decoding them is left to the trial: subjects stay in the worker's
cache, so it is done once for each, and nothing but files takes memory ahead of time.
"""

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trainables.data.data_directory import is_of_other_size, listed_files
from trainables.data.shards import Manifest
from trainables.data.verification import verify
from trainables.models.backbones import file_of
from trainables.models.weights_name import files_of
from trainables.spec import Backbone, Roi, Untuned
from trainables.spec.backbone import SHA256
from trainables.spec.evaluation import Evaluation, WorkItem
from trainables.storage.local_files import existing_part
from trainables.storage.stored_directory import StoredDirectory
from trainables.storage.unchanged import hash_unchanged
from trainables.training.checkpoint_notes import LAST, Note
from trainables.worker.context import RunContext

_logger = logging.getLogger(__name__)

FREE_DISK: Final = 0.1
"""Share of a disk that prefetched downloads leave free, since running trials write to it."""
SHARE_OF_MEMORY: Final = 0.25
"""Share of the memory that is free to this worker for files in the page cache."""


class _GivenUp(Exception):  # noqa: N818  (an outcome, not an error)
    """A download is left to the trial that needs it."""


Source = str | Backbone | tuple[str, int | None]
"""What trials read: a checkpoint by its id, a backbone's weights, or a subject at an image size."""
Upcoming = Callable[[], WorkItem | None]
"""Returns the trial or evaluation that probably comes next; None where none is known."""


@dataclass
class Prefetch:
    """The files of the trial that probably follows another, which are read one after another.

    held: image sizes of the subjects in the worker's cache, by shard; these subjects are not read
    again at the same size. memory: bytes of files to read at most. Only the host is used. What
    fails is left to the trial, which reports it.
    """

    context: RunContext
    present: WorkItem
    """The trial that runs."""
    held: Mapping[str, int]
    memory: int
    item: WorkItem | None = None
    """The trial that probably follows, as soon as it is known."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set: nothing is read after the present file."""
    abandoned: threading.Event = field(default_factory=threading.Event)
    """Set: the present file is not downloaded to its end either."""
    _source: Source | None = None
    """What is being read."""

    def run(self, upcoming: Upcoming) -> None:
        """Ask for the trial, and read its files until stopped; raise nothing."""
        try:
            self.item = upcoming()
            if self.item is None or self.stopped.is_set():
                return
            for _ in self._read(self.item):
                if self.stopped.is_set():
                    return
            _logger.info("%s: its files were prefetched", self.item.id)
        except Exception:
            _logger.debug("the next trial could not be prefetched", exc_info=True)

    def _read(self, item: WorkItem) -> Iterator[None]:
        """Read a trial's files, and yield after each."""
        self._source = _model_of(item)
        if isinstance(item, Evaluation):
            yield from self._read_checkpoint(self.context.checkpoint(item))
        elif isinstance(self.present, Evaluation) or item.backbone != self.present.backbone:
            yield from self._read_weights(item.backbone)
        for roi in {roi.shard: roi for roi in item.rois}.values():
            if self._holds(roi, item.backbone.image_size):
                continue
            self._source = roi.shard, item.backbone.image_size
            yield from self._read_subject(roi, item)

    def _holds(self, roi: Roi, image_size: int | None) -> bool:
        """Return whether the worker's cache has a subject, with images of this size."""
        if roi.shard not in self.held:
            return False
        manifest = Manifest.read(self.context.data.shard(roi.shard))
        return self.held[roi.shard] == (image_size or manifest.image_size)

    def _read_checkpoint(self, directory: StoredDirectory) -> Iterator[None]:
        directory.fetch_all(check=self._check_download)
        yield
        file = directory.path / Note.read(directory.path / LAST).model
        if self._fits(file):
            hash_unchanged(file)
        yield

    def _read_weights(self, backbone: Backbone) -> Iterator[None]:
        is_given = backbone.weights.startswith(SHA256)
        found = self.context.weights_file if is_given else file_of(backbone, None)
        for file in [] if found is None else files_of(found):
            if self._fits(file):
                hash_unchanged(file)
            yield

    def _read_subject(self, roi: Roi, item: WorkItem) -> Iterator[None]:
        shard = self.context.data.fetched_shard(roi.shard)
        manifest = Manifest.read(shard)
        if manifest.data != roi.data:
            return
        _, kind = manifest.images_at(shard, item.backbone.image_size)
        is_scored_alone = isinstance(item, Evaluation) or isinstance(item.objective, Untuned)
        for name, sha256 in listed_files(shard).items():
            path = shard / name
            if is_of_other_size(path, kind):
                continue
            StoredDirectory(shard).fetched(path, check=self._check_download)
            if not (is_scored_alone and name.startswith("trials-")) and self._fits(path):
                verify(path, sha256)
            yield

    def _check_download(self, path: Path, n_bytes: int) -> None:
        """Raise _GivenUp if a download is not to be made, or would leave the disk too little room.

        n_bytes: of the file; 0 while it is downloaded.
        """
        usage = shutil.disk_usage(existing_part(path))
        ended = self.stopped if n_bytes else self.abandoned
        if ended.is_set() or usage.free - n_bytes < FREE_DISK * usage.total:
            raise _GivenUp(path)

    def _fits(self, path: Path) -> bool:
        """Count a file's bytes if the memory holds them too; return whether it does."""
        n_bytes = path.stat().st_size
        if n_bytes > self.memory:
            return False
        self.memory -= n_bytes
        return True

    def is_reading_for(self, trial: WorkItem) -> bool:
        """Return whether the present file is one of a trial's, which waits for it then."""
        if self.item is None:
            return False
        size = trial.backbone.image_size
        sources = {_model_of(trial), *((shard, size) for shard in trial.shards)}
        return self.item.id == trial.id or self._source in sources


def _model_of(item: WorkItem) -> Source:
    return item.training_id if isinstance(item, Evaluation) else item.backbone


class Prefetcher:
    """Prefetches one trial at a time, in a thread that the process does not wait for at its end.

    No trial waits for files of others: a wrong guess stops within a download, or after the file.
    """

    def __init__(self) -> None:
        self._last: Prefetch | None = None
        self._thread: threading.Thread | None = None

    def start(self, prefetch: Prefetch, upcoming: Upcoming) -> None:
        """Start prefetching, unless that of the next trial, or a wrong guess, is under way."""
        if self._last is not None and self._last.item is not None:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        self._last = prefetch
        self._thread = threading.Thread(
            target=prefetch.run, args=(upcoming,), name="prefetch", daemon=True
        )
        self._thread.start()

    def stop(self, trial: WorkItem) -> None:
        """Stop prefetching at a trial's start; wait for the file, if it is one of this trial's."""
        last, self._last = self._last, None
        if last is None or self._thread is None:
            return
        last.stopped.set()
        if last.is_reading_for(trial):
            self._thread.join()
        else:
            last.abandoned.set()

    def abandon(self) -> None:
        """Stop prefetching within a download, whose threads the process would wait for."""
        last, self._last = self._last, None
        if last is not None:
            last.stopped.set()
            last.abandoned.set()
