"""The cache of subjects on a warm worker: responses and images of recent trials."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.compute.device import free_bytes
from trainables.compute.memory import memory_limit
from trainables.data.data_directory import DataDirectory, fetch_rows
from trainables.data.disk_images import DiskImages
from trainables.data.images import CroppedImages, Images, ResidentImages, StreamedImages
from trainables.data.loading import Subject, read_images, read_subject
from trainables.data.shards import Manifest, check_planned
from trainables.data.trials import Trials, read_trials
from trainables.spec import Backbone, Roi
from trainables.spec.evaluation import WorkItem

_logger = logging.getLogger(__name__)

SHARE_FOR_IMAGES: Final = 0.4
"""Share of a GPU's free memory, or of this worker's part of the machine's, for cached images."""
SHARE_FOR_RESPONSES: Final = 0.5
"""Share of this worker's part of the machine's memory for the responses of all cached subjects."""
GPUS_PER_NODE: Final = 8
"""Workers of a machine with GPUs, at most, of which each has an equal part of its memory."""


@dataclass(frozen=True)
class CachedSubject:
    """One subject in memory; its images on the device, or streamed."""

    subject: Subject
    images: Images
    trials: dict[str, Trials] = field(default_factory=dict, compare=False)
    """The single trials of hemispheres that trainings have read, at all vertices."""

    @property
    def bytes_on_device(self) -> int:
        """Return the bytes of the images that are kept on the device."""
        if not isinstance(self.images, ResidentImages):
            return 0
        return _bytes(self.images.n_images, self.images.image_size)

    def cropped(self, crop: int) -> "CachedSubject":
        """Return the same subject with the centres of its images."""
        return replace(self, images=CroppedImages(self.images, crop))


class SubjectCache:
    """Caches the subjects of recent trials, within a budget of image bytes on the device.

    Where the next one does not fit, those go first that were not used for longest. Responses have a
    budget too, with single trials: a share of this worker's part of the machine's memory.
    budget: None: a share of the memory that would be free without cached images, and on a CPU of
    this worker's part of it. scratch: directory for images that exceed the budget.
    """

    def __init__(
        self, data: DataDirectory, device: torch.device, budget: int | None, scratch: Path
    ) -> None:
        self._data = data
        self._scratch = scratch
        self._device = device
        self._budget = budget
        self._cached: dict[str, CachedSubject] = {}
        """By shard name, those first that were not used for longest."""
        self._in_use: frozenset[str] = frozenset()

    def of(self, trial: WorkItem) -> dict[str, CachedSubject]:
        """Return a trial's subjects by shard name, reading those that are not cached.

        Images beyond the budget are streamed. Raises ValueError if the data has changed since the
        trial was planned.
        """
        return self.named({roi.shard: roi.data for roi in trial.rois}, trial.backbone)

    def named(self, wanted: Mapping[str, str], backbone: Backbone) -> dict[str, CachedSubject]:
        """Return subjects by shard name, as :meth:`of`; wanted: the digest of each one's data.

        backbone: the network that is given the images, whose size and crop they have.
        """
        size, crop = backbone.image_size, backbone.crop_size
        self._in_use = frozenset(wanted)
        known = {name for name, data in wanted.items() if self._has(name, data, size)}
        self._evict((set(wanted) & set(self._cached)) - known)  # of other data, or of another size
        for name, data in wanted.items():
            if name in known:
                self._cached[name] = self._cached.pop(name)
            else:
                self._cached[name] = self._read(name, data, size)
        found = {name: self._cached[name] for name in wanted}
        if crop is None:
            return found
        return {name: one.cropped(crop) for name, one in found.items()}

    def trials_of(self, roi: Roi, vertices: NDArray[np.integer[Any]]) -> Trials | None:
        """Return the single trials at vertices of a ROI's hemisphere; None where there are none.

        roi: of a subject that the last trial reads. A hemisphere's trials are cached if they fit
        the budget of responses without those of subjects that are not in use. Raises ValueError as
        :func:`read_trials`.
        """
        cached, side = self._cached[roi.shard], roi.hemisphere
        manifest, shard = cached.subject.manifest, self._data.shard(roi.shard)
        if side not in cached.trials and manifest.n_trials is not None:
            n_vertices = manifest.n_vertices[side]
            n_bytes = 4 * manifest.n_trials * n_vertices
            self._drop_trials(n_bytes)
            if n_bytes > self._response_bytes_left():
                return read_trials(shard, side, vertices)
            whole = read_trials(shard, side, np.arange(n_vertices))
            assert whole is not None
            cached.trials[side] = whole
        return cached.trials[side].at(vertices) if side in cached.trials else None

    @property
    def held(self) -> frozenset[str]:
        """The shards of the cached subjects."""
        return frozenset(self._cached)

    @property
    def image_sizes(self) -> dict[str, int]:
        """The size in pixels of the cached images, by shard."""
        return {name: cached.images.image_size for name, cached in self._cached.items()}

    def free_host_bytes(self) -> int:
        """Return the free bytes of this worker's part of the machine's memory."""
        return int(self._part_of_host(0))

    def evict_unused(self) -> bool:
        """Remove the subjects that the last trial does not read; return whether there were any."""
        unused = set(self._cached) - self._in_use
        self._evict(unused)
        return bool(unused)

    def clear(self) -> None:
        """Remove all subjects from the cache."""
        self._evict(set(self._cached))

    def _evict(self, names: set[str]) -> None:
        for name in sorted(names):
            _logger.info("%s: evicted", name)
            del self._cached[name]

    def _has(self, name: str, data: str, image_size: int | None) -> bool:
        if name not in self._cached:
            return False
        images, manifest = self._cached[name].images, self._cached[name].subject.manifest
        return manifest.data == data and images.image_size == (image_size or manifest.image_size)

    def _read(self, name: str, data: str, image_size: int | None) -> CachedSubject:
        shard = self._data.fetched_shard(name)
        check_planned(shard, Manifest.read(shard), data)
        size, kind = Manifest.read(shard).images_at(shard, image_size)
        subject = read_subject(fetch_rows(shard, kind))
        check_planned(shard, subject.manifest, data)
        images = self._read_images(shard, subject, size)
        check_planned(shard, Manifest.read(shard), data)  # it may be replaced between the reads
        return CachedSubject(subject, images)

    def _read_images(self, shard: Path, subject: Subject, size: int) -> Images:
        """Read a subject's images onto the device, or to disk if they exceed the budget."""
        n_images = subject.manifest.n_images
        self._make_room(_bytes(n_images, size), _response_bytes(subject))
        if _bytes(n_images, size) <= self._bytes_left():
            _logger.info("%s: read, %d images on the device", shard.name, n_images)
            return ResidentImages(read_images(shard, self._device, size))
        _logger.info("%s: read, %d images streamed from disk", shard.name, n_images)
        images = DiskImages(shard, self._scratch, size)
        return StreamedImages(n_images, size, images.read, self._device)

    def _make_room(self, image_bytes: int, response_bytes: int) -> None:
        """Evict subjects that are not in use, the least recently used first, until another fits."""
        self._drop_trials(response_bytes)
        unused = self._unused()
        while unused and not (
            image_bytes <= self._bytes_left() and response_bytes <= self._response_bytes_left()
        ):
            self._evict({unused.pop(0)})

    def _drop_trials(self, response_bytes: int) -> None:
        """Drop trials of subjects that are not in use, in the same order, until responses fit."""
        for name in self._unused():
            if response_bytes <= self._response_bytes_left():
                return
            self._cached[name].trials.clear()

    def _unused(self) -> list[str]:
        return [name for name in self._cached if name not in self._in_use]

    def _response_bytes_left(self) -> int:
        """Return how many more bytes of responses may be cached in this machine's memory."""
        taken = sum(
            _response_bytes(cached.subject) + _trial_bytes(cached)
            for cached in self._cached.values()
        )
        return int(SHARE_FOR_RESPONSES * self._part_of_host(taken)) - taken

    def _bytes_left(self) -> int:
        """Return how many more bytes of images may be cached on the device."""
        taken = sum(cached.bytes_on_device for cached in self._cached.values())
        if self._budget is not None:
            return self._budget - taken
        if self._device.type == "cpu":
            return int(SHARE_FOR_IMAGES * self._part_of_host(taken)) - taken
        return int(SHARE_FOR_IMAGES * (free_bytes(self._device) + taken)) - taken

    def _part_of_host(self, taken: int) -> float:
        """Return this worker's part of the machine's memory, in bytes.

        taken: bytes that this worker would free.
        """
        free = free_bytes(torch.device("cpu")) + taken
        return self._part_of_machine() * min(memory_limit(), free)

    def _part_of_machine(self) -> float:
        """Return the part of the machine that is this worker's, by its threads or GPUs."""
        part = torch.get_num_threads() / len(os.sched_getaffinity(0))
        if self._device.type == "cuda":
            part = max(part, 1 / GPUS_PER_NODE)
        return min(1.0, part)


def _response_bytes(subject: Subject) -> int:
    return sum(matrix.nbytes for matrix in subject.responses.values())


def _trial_bytes(cached: CachedSubject) -> int:
    return sum(trials.responses.nbytes for trials in cached.trials.values())


def _bytes(n_images: int, image_size: int) -> int:
    return n_images * 3 * image_size**2
