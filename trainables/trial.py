"""One trial on a worker that stays warm: read, fine-tune, encode, write the scores."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import torch
from torch import nn

from trainables import trunks
from trainables.checkpoints import Checkpoints, EpochReport
from trainables.features import Storage, extract
from trainables.finetune import Stopped, TrainingData, finetune
from trainables.images import Images, ResidentImages, StreamedImages
from trainables.linear_algebra import use_threads
from trainables.outcome import Outcome, write_log
from trainables.predictions import write_predictions
from trainables.protocols import Split
from trainables.reading import ObjectStoreImages, Subject, read_images, read_subject
from trainables.scores import write_scores
from trainables.scoring import Targets, score_cells
from trainables.shards import read_vertices
from trainables.spec import Cell, Trial, Untuned

FEATURE_BATCH: Final = {"cpu": 32, "cuda": 256}
"""Images at once: on a CPU, larger ones leave the memory that the allocator reuses."""
SHARE_FOR_IMAGES: Final = 0.4
SHARE_FOR_FEATURES: Final = 0.25


@dataclass(frozen=True)
class Workplace:
    """Where a trial runs: what changes nothing in its result, so nothing in its id."""

    data: Path
    runs: Path
    weights_file: Path | None = None
    threads: int = 1
    """Threads of a worker on the CPU. (Another number may round sums otherwise.)"""
    keep_every_epoch: bool = False
    keep_predictions: bool = True
    """Write what the refit of ``nested`` predicts of each test image."""
    image_budget: int | None = None
    """Bytes of images to hold on the device; None: a share of what is free. More are streamed."""
    feature_budget: int | None = None
    """Bytes of features to hold on the device; None: a share of what is free. More are spooled."""


class Listener(Protocol):
    """Who is told how a trial goes."""

    def stage(self, name: str) -> None:
        """Hear that a step begins."""
        ...

    def epoch(self, report: EpochReport) -> bool:
        """Hear of an epoch; return False to stop the trial."""
        ...


@dataclass
class _Clock:
    """Seconds of each step so far."""

    listener: Listener
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        self.listener.stage(name)
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = time.perf_counter() - start


class TrialRunner:
    """Run trials one after another, keeping a subject's images while they are of use."""

    def __init__(self, workplace: Workplace, device: torch.device) -> None:
        use_threads(workplace.threads)
        self._workplace = workplace
        self._device = device
        self._held: tuple[str, Subject, Images] | None = None

    def run(self, trial: Trial, listener: Listener) -> Outcome:
        """Run a trial from clean state, write its scores, log and outcome, and return the last.

        Raises ValueError when data or weights don't serve the trial; a stopped trial is an
        outcome, not an error.
        """
        clock, started = _Clock(listener), time.time()
        history: tuple[EpochReport, ...] = ()
        try:
            with clock.step("reading"):
                subject, images = self._subject(trial)
                network = trunks.load(trial.trunk, self._workplace.weights_file).to(self._device)
            if not isinstance(trial.objective, Untuned):
                with clock.step("finetuning"):
                    history = self._finetune(trial, network, subject, images, listener)
            self._encode(trial, network, subject, images, clock)
        except Stopped as stopped:
            return self._outcome(trial, clock, started, stopped.history, stopped=True)
        finally:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        return self._outcome(trial, clock, started, history, stopped=False)

    def _outcome(
        self,
        trial: Trial,
        clock: _Clock,
        started: float,
        history: tuple[EpochReport, ...],
        *,
        stopped: bool,
    ) -> Outcome:
        outcome = Outcome(
            trial,
            "stopped" if stopped else "finished",
            socket.gethostname(),
            device_name(self._device),
            started,
            clock.seconds,
            history,
        )
        outcome.write(self._workplace.runs)
        return outcome

    def _subject(self, trial: Trial) -> tuple[Subject, Images]:
        key = f"{trial.shard}:{trial.cells[0].data}"
        if self._held is None or self._held[0] != key:
            self._held = None  # let go of the last subject before reading the next
            shard = self._workplace.data / trial.shard
            subject = read_subject(shard)
            if subject.manifest.data != trial.cells[0].data:
                raise ValueError(
                    f"{shard}: its content is {subject.manifest.data}, the trial was planned on "
                    f"{trial.cells[0].data}; plan again, or ingest the data that was planned on"
                )
            self._held = (key, subject, self._images(shard, subject))
        return self._held[1], self._held[2]

    def _images(self, shard: Path, subject: Subject) -> Images:
        manifest, size = subject.manifest, subject.manifest.image_size
        budget = self._workplace.image_budget
        if budget is None:
            budget = int(SHARE_FOR_IMAGES * free_bytes(self._device))
        if manifest.n_images * 3 * size * size <= budget:
            return ResidentImages(read_images(shard, self._device))
        return StreamedImages(manifest.n_images, size, ObjectStoreImages(shard).read, self._device)

    def _finetune(
        self,
        trial: Trial,
        network: nn.Module,
        subject: Subject,
        images: Images,
        listener: Listener,
    ) -> tuple[EpochReport, ...]:
        assert not isinstance(trial.objective, Untuned)
        workplace, cell = self._workplace, trial.cells[0]
        vertices = self._vertices(cell)
        responses = torch.from_numpy(subject.responses[cell.hemisphere][:, vertices])
        data = TrainingData(
            images, responses.to(self._device), torch.from_numpy(subject.train_rows)
        )
        checkpoints = Checkpoints(
            workplace.runs / "checkpoints" / trial.training_id,
            keep_every_epoch=workplace.keep_every_epoch,
        )
        history = finetune(trial.objective, trial.seed, network, data, checkpoints, listener.epoch)
        write_log(workplace.runs, trial.id, history)
        return history

    def _encode(
        self, trial: Trial, network: nn.Module, subject: Subject, images: Images, clock: _Clock
    ) -> None:
        split = Split(subject.train_rows, subject.test_rows, subject.manifest.n_images)
        rows, compact = split.compact(trial.encoding.protocols)
        budget = self._workplace.feature_budget
        if budget is None:
            budget = int(SHARE_FOR_FEATURES * free_bytes(self._device))
        storage = Storage(self._device, budget, self._workplace.runs / "scratch")
        with clock.step("features"):
            batches = images.batches(torch.from_numpy(rows), FEATURE_BATCH[self._device.type])
            features = extract(network, trial.encoding.layers, batches, len(rows), storage)
        with features, clock.step("encoding"):
            responses = {side: matrix[rows] for side, matrix in subject.responses.items()}
            cells = [(cell, self._vertices(cell)) for cell in trial.cells]
            targets = Targets.gather(responses, cells, self._device)
            keep = self._workplace.keep_predictions
            scores = score_cells(features, targets, compact, trial.encoding, keep_predictions=keep)
        for cell in trial.cells:
            mine = [one for one in scores if one.cell == cell]
            write_predictions(self._workplace.runs, trial, mine, rows[compact.test])
            write_scores(self._workplace.runs, trial, mine)

    def _vertices(self, cell: Cell) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        vertices = read_vertices(self._workplace.data / cell.shard, cell)
        if len(vertices) != cell.n_vertices:
            raise ValueError(
                f"{cell.id}: {len(vertices)} vertices in {self._workplace.data / cell.shard}, "
                f"the trial was planned on {cell.n_vertices}; plan the sweep again"
            )
        return vertices


def failed(trial: Trial, error: str, *, host: str, device: str) -> Outcome:
    """Make the outcome of a trial that could not be done."""
    return Outcome(trial, "failed", host, device, time.time(), {}, error=error)


def device_name(device: torch.device) -> str:
    """Name a device as people do: ``cpu``, or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def free_bytes(device: torch.device) -> int:
    """Measure the memory that is free: the GPU's, or this machine's."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    fields = dict(
        line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines() if ":" in line
    )
    return int(fields["MemAvailable"].split()[0]) * 1024
