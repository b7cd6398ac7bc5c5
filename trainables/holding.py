"""The subjects that a warm worker holds: responses and images, while they are of use."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch

from trainables.evaluation import Work
from trainables.images import Images, ResidentImages, StreamedImages
from trainables.mirror import pull
from trainables.reading import Subject, read_images, read_subject
from trainables.spooled import SpooledImages

SHARE_FOR_IMAGES: Final = 0.4


@dataclass(frozen=True)
class HeldSubject:
    """One subject in memory; its images on the device, or streamed."""

    subject: Subject
    images: Images

    @property
    def bytes_on_device(self) -> int:
        """Count the bytes of the images that are held on the device."""
        return _bytes(self.subject) if isinstance(self.images, ResidentImages) else 0


class HeldSubjects:
    """The subjects of the last trials, within a budget of bytes of images on the device.

    budget: None stands for a share of the memory that is free, or would be without the images.
    scratch: directory for the images that the device can't hold.
    """

    def __init__(self, data: Path, device: torch.device, budget: int | None, scratch: Path) -> None:
        self._data = data
        self._scratch = scratch
        self._device = device
        self._budget = budget
        self._held: dict[str, HeldSubject] = {}

    def of(self, trial: Work) -> dict[str, HeldSubject]:
        """Return a trial's subjects by the name of their shard, reading those that are not held.

        Images beyond the budget are streamed. Raises ValueError when the data has changed since
        the trial was planned.
        """
        wanted = {cell.shard: cell.data for cell in trial.cells}
        known = {name for name, data in wanted.items() if self._holds(name, data)}
        if known != set(wanted):
            # Let go of what this trial has no use for before reading more.
            self._held = {name: self._held[name] for name in self._held if name in known}
        for name, data in wanted.items():
            if name not in known:
                self._held[name] = self._read(name, data)
        return {name: self._held[name] for name in wanted}

    def let_go(self) -> None:
        """Hold no subject any more."""
        self._held = {}

    def _holds(self, name: str, data: str) -> bool:
        return name in self._held and self._held[name].subject.manifest.data == data

    def _read(self, name: str, data: str) -> HeldSubject:
        shard = self._data / name
        pull(shard)
        subject = read_subject(shard)
        if subject.manifest.data != data:
            raise ValueError(
                f"{shard}: its content is {subject.manifest.data}, the trial was planned on "
                f"{data}; plan again, or ingest the data that was planned on"
            )
        if _bytes(subject) <= self._bytes_left():
            return HeldSubject(subject, ResidentImages(read_images(shard, self._device)))
        n_images, size = subject.manifest.n_images, subject.manifest.image_size
        stream = StreamedImages(
            n_images, size, SpooledImages(shard, self._scratch).read, self._device
        )
        return HeldSubject(subject, stream)

    def _bytes_left(self) -> int:
        taken = sum(held.bytes_on_device for held in self._held.values())
        if self._budget is not None:
            return self._budget - taken
        return int(SHARE_FOR_IMAGES * (free_bytes(self._device) + taken)) - taken


def _bytes(subject: Subject) -> int:
    return subject.manifest.n_images * 3 * subject.manifest.image_size**2


def free_bytes(device: torch.device) -> int:
    """Measure the memory that is free: the GPU's, of this process's share, or this machine's."""
    if device.type == "cuda":
        device = indexed(device)
        free, total = torch.cuda.mem_get_info(device)
        share = torch.cuda.get_per_process_memory_fraction(device)
        return min(int(free), int(share * total) - torch.cuda.memory_reserved(device))
    fields = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line
    )
    return int(fields["MemAvailable"].split()[0]) * 1024


def indexed(device: torch.device) -> torch.device:
    """Return a device by its number: some of torch's functions take no bare ``cuda``."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device
