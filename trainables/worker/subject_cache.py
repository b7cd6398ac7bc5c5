"""The cache of subjects on a warm worker: responses and images of recent trials."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from trainables.compute.device import free_bytes
from trainables.data.data_directory import DataDirectory, fetch_rows
from trainables.data.disk_images import DiskImages
from trainables.data.images import Images, ResidentImages, StreamedImages
from trainables.data.loading import Subject, read_images, read_subject
from trainables.data.shards import Manifest, check_planned
from trainables.spec.evaluation import WorkItem

_logger = logging.getLogger(__name__)

SHARE_FOR_IMAGES: Final = 0.4


@dataclass(frozen=True)
class CachedSubject:
    """One subject in memory; its images on the device, or streamed."""

    subject: Subject
    images: Images

    @property
    def bytes_on_device(self) -> int:
        """Return the bytes of the images that are kept on the device."""
        return _bytes(self.subject) if isinstance(self.images, ResidentImages) else 0


class SubjectCache:
    """Caches the subjects of recent trials, within a budget of image bytes on the device.

    budget: None: a share of the memory that would be free without cached images. scratch:
    directory for images that exceed the budget.
    """

    def __init__(
        self, data: DataDirectory, device: torch.device, budget: int | None, scratch: Path
    ) -> None:
        self._data = data
        self._scratch = scratch
        self._device = device
        self._budget = budget
        self._cached: dict[str, CachedSubject] = {}

    def of(self, trial: WorkItem) -> dict[str, CachedSubject]:
        """Return a trial's subjects by shard name, reading those that are not cached.

        Images beyond the budget are streamed. Raises ValueError if the data has changed since the
        trial was planned.
        """
        return self.named({roi.shard: roi.data for roi in trial.rois})

    def named(self, wanted: Mapping[str, str]) -> dict[str, CachedSubject]:
        """Return subjects by shard name, as :meth:`of`; wanted: the digest of each one's data."""
        known = {name for name, data in wanted.items() if self._has(name, data)}
        if known != set(wanted):
            self._evict(set(self._cached) - known)  # free memory before reading
        for name, data in wanted.items():
            if name not in known:
                self._cached[name] = self._read(name, data)
        return {name: self._cached[name] for name in wanted}

    def clear(self) -> None:
        """Remove all subjects from the cache."""
        self._evict(set(self._cached))

    def _evict(self, names: set[str]) -> None:
        for name in sorted(names):
            _logger.info("%s: evicted", name)
            del self._cached[name]

    def _has(self, name: str, data: str) -> bool:
        return name in self._cached and self._cached[name].subject.manifest.data == data

    def _read(self, name: str, data: str) -> CachedSubject:
        shard = fetch_rows(self._data.shard(name))
        subject = read_subject(shard)
        check_planned(shard, subject.manifest, data)
        images = self._read_images(shard, subject)
        check_planned(shard, Manifest.read(shard), data)  # it may be replaced between the reads
        return CachedSubject(subject, images)

    def _read_images(self, shard: Path, subject: Subject) -> Images:
        """Read a subject's images onto the device, or to disk if they exceed the budget."""
        if _bytes(subject) <= self._bytes_left():
            _logger.info("%s: read, %d images on the device", shard.name, subject.manifest.n_images)
            return ResidentImages(read_images(shard, self._device))
        n_images, size = subject.manifest.n_images, subject.manifest.image_size
        _logger.info("%s: read, %d images streamed from disk", shard.name, n_images)
        images = DiskImages(shard, self._scratch)
        return StreamedImages(n_images, size, images.read, self._device)

    def _bytes_left(self) -> int:
        taken = sum(cached.bytes_on_device for cached in self._cached.values())
        if self._budget is not None:
            return self._budget - taken
        return int(SHARE_FOR_IMAGES * (free_bytes(self._device) + taken)) - taken


def _bytes(subject: Subject) -> int:
    return subject.manifest.n_images * 3 * subject.manifest.image_size**2
