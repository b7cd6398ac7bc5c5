"""One trial, or evaluation, on a warm worker: read, fine-tune, encode, write the scores."""

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn

from trainables import trunks
from trainables.checkpoints import (
    OF_SEARCHES,
    Checkpoints,
    EpochReport,
    load_network,
    remove_checkpoints,
)
from trainables.distributed import ALONE, Team
from trainables.epochs import TrainingData
from trainables.evaluation import Evaluation, Work, setting_source
from trainables.features import Storage, extract
from trainables.finetune import Stopped, finetune, finetune_pooled
from trainables.holding import HeldSubject, HeldSubjects, free_bytes, indexed
from trainables.linear_algebra import use_threads
from trainables.listening import Clock, Listener, Silent
from trainables.microbatches import SMALLEST, Parts, can_be_split, is_out_of_memory
from trainables.mirror import pull
from trainables.outcome import Outcome
from trainables.precision import exactly
from trainables.predictions import write_predictions
from trainables.protocols import MIN_ROWS, Split
from trainables.scores import score_file, write_scores
from trainables.scoring import CellScores, Targets, score_cells
from trainables.shards import read_vertices
from trainables.spec import Cell, Encoding, Pooled, Trial, Tuned, Untuned
from trainables.stimuli import KnownStimuli, Overlap
from trainables.synchronised import Passing
from trainables.trial_log import Logged, TrialLog, log_file

FEATURE_BATCH: Final = {"cpu": 32, "cuda": 256}
"""Images at once: on a CPU, larger ones leave the memory that the allocator reuses."""
SHARE_FOR_FEATURES: Final = 0.25


@dataclass(frozen=True)
class Workplace:
    """Where a trial runs: what changes nothing in its result, so nothing in its id."""

    data: Path
    runs: Path
    weights_file: Path | None = None
    threads: int = 1
    """Threads of a worker on the CPU. (Another number may round sums otherwise.)"""
    share_of_gpu: float = 1.0
    """Of a GPU's memory, where several workers share one."""
    keep_every_epoch: bool = False
    keep_trunks: bool = True
    """False for a search, which needs a trial's checkpoints only until the trial has ended."""
    keep_predictions: bool = True
    """Write what the refit of ``nested`` predicts of each test image."""
    image_budget: int | None = None
    """Bytes of images to hold on the device; None: a share of what is free. More are streamed."""
    feature_budget: int | None = None
    """Bytes of features to hold on the device; None: a share of what is free. More are spooled."""

    @property
    def scratch(self) -> Path:
        """Name the directory for what memory can't hold."""
        return self.runs / "scratch"

    def checkpoint(self, trial: Work) -> Path:
        """Name the directory of a trial's checkpoints; those that are removed lie apart."""
        return self.runs / ("checkpoints" if self.keep_trunks else OF_SEARCHES) / trial.training_id


@dataclass(frozen=True)
class _Work:
    """What to do, with its network and the subjects that it needs, by the name of their shard."""

    trial: Work
    network: nn.Module
    subjects: dict[str, HeldSubject]


class TrialRunner:
    """Run trials and evaluations one after another, keeping subjects while they are of use.

    team: the workers that share each trial; the first one runs it, and the others assist.
    """

    def __init__(self, workplace: Workplace, device: torch.device, team: Team = ALONE) -> None:
        use_threads(workplace.threads)
        # cuBLAS repeats to the bit only so, and reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        device = indexed(device)
        if device.type == "cuda" and workplace.share_of_gpu < 1:
            torch.cuda.set_per_process_memory_fraction(workplace.share_of_gpu, device)
        self._workplace = workplace
        self._device = device
        self._team = team
        self._subjects = HeldSubjects(
            workplace.data, device, workplace.image_budget, workplace.scratch
        )
        self._stimuli = KnownStimuli(workplace.data)

    def run(self, trial: Work, listener: Listener) -> Outcome:
        """Run a trial from clean state, write its scores, log and outcome, and return the last.

        An evaluation is run alike, with the trunk of a checkpoint. Raises ValueError when data,
        weights or checkpoint don't serve; a stopped trial is an outcome, not an error.
        """
        log = TrialLog(log_file(self._workplace.runs, trial.id))
        for path in (log.path, self._workplace.runs / "scores" / trial.id):
            pull(path)  # where an earlier try was on another machine
        log.note("started", device=device_name(self._device))
        try:
            with exactly(setting_source(trial).exact):
                outcome = self._run(trial, Logged(listener, log))
        except Exception as error:
            log.note("failed", error=f"{type(error).__name__}: {error}")
            raise
        log.note(outcome.status, seconds=outcome.seconds)
        return outcome

    def _run(self, trial: Work, listener: Listener) -> Outcome:
        clock, started = Clock(listener), time.time()
        history: tuple[EpochReport, ...] = ()
        try:
            if isinstance(trial, Evaluation):
                work = self._read_tuned(trial, clock)
            else:
                work, history = self._tune(trial, clock)
            if trial.encoding is not None:
                self._encode(work, trial.encoding, clock)
        except Stopped as stopped:
            return self._outcome(trial, clock, started, stopped.history, stopped=True)
        finally:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        return self._outcome(trial, clock, started, history, stopped=False)

    def assist(self, trial: Work) -> None:
        """Tune with the other workers of the team; the first one does the rest alone.

        Raises Stopped, or Abandoned when another worker fails, as all workers of the team do.
        """
        try:
            if isinstance(trial, Trial) and not isinstance(trial.objective, Untuned):
                with exactly(trial.exact):
                    self._tune(trial, Clock(Silent()))
        finally:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _outcome(
        self,
        trial: Work,
        clock: Clock,
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
        if not self._workplace.keep_trunks:
            remove_checkpoints(self._workplace.checkpoint(trial))
        return outcome

    def _tune(self, trial: Trial, clock: Clock) -> tuple[_Work, tuple[EpochReport, ...]]:
        """Read what the trial is about, and tune its trunk unless it stays untuned."""
        objective, team = trial.objective, self._team
        if isinstance(objective, Untuned):
            with clock.step("reading"):
                return self._read(trial), ()
        team.decide(lambda: clock.listener.stage("reading"))
        with clock.timed("reading"):
            work = team.together(lambda: self._read(trial))
        team.decide(lambda: clock.listener.stage("finetuning"))
        part: int | None = None
        while True:
            try:
                with clock.timed("finetuning"):
                    return work, self._train(work, trial, clock.listener, part)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                part = self._smaller_part(work, objective, part)
            del work  # and nothing refers to the failed try any more: its memory is free
            clock.listener.stage(f"finetuning, {part} images at a time")
            work = self._read_alone(trial)

    def _train(
        self, work: _Work, trial: Trial, listener: Listener, part: int | None
    ) -> tuple[EpochReport, ...]:
        """Tune the trunk, from the last checkpoint; part: images that are passed at a time."""
        data = self._team.together(lambda: self._training_data(work))
        checkpoints = Checkpoints(
            self._workplace.checkpoint(work.trial),
            keep_every_epoch=self._workplace.keep_every_epoch,
        )
        objective, seed, further = trial.objective, trial.seed, (checkpoints, listener.epoch)
        assert not isinstance(objective, Untuned)
        passing = Passing(Parts(part) if part else None, trial.precision)
        if isinstance(objective, Pooled):
            return finetune_pooled(
                objective, seed, work.network, data, *further, team=self._team, passing=passing
            )
        [own] = data
        return finetune(
            objective, seed, work.network, own, *further, team=self._team, passing=passing
        )

    def _smaller_part(self, work: _Work, objective: Tuned, part: int | None) -> int:
        """Halve the images that are passed at a time; raise ValueError where that is no way."""
        smaller = (part or objective.batch_size) // 2
        where = f"{work.trial.id}: out of memory on {device_name(self._device)}"
        cure = "take a smaller batch_size, a device with more memory, or --workers-per-trial"
        if self._team.size > 1:
            raise ValueError(f"{where}, shared by {self._team.size} workers; {cure}")
        if not can_be_split(work.network):
            raise ValueError(f"{where}, and its BatchNorm needs whole batches; {cure}")
        if smaller < SMALLEST:
            raise ValueError(f"{where}, also with {part} images at a time; {cure}")
        return smaller

    def _read_alone(self, trial: Trial) -> _Work:
        """Read anew what a trial is about, with nothing else in this worker's memory."""
        self._subjects.let_go()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return self._read(trial)

    def _read(self, trial: Trial) -> _Work:
        subjects = self._subjects.of(trial)
        network = trunks.load(trial.trunk, self._workplace.weights_file).to(self._device)
        return _Work(trial, network, subjects)

    def _read_tuned(self, evaluation: Evaluation, clock: Clock) -> _Work:
        """Read the checkpoint of a tuned trunk, and the subject to score it on."""
        with clock.step("reading"):
            directory = self._workplace.checkpoint(evaluation)
            network = load_network(directory, evaluation.trunk.architecture)
            return _Work(evaluation, network.to(self._device), self._subjects.of(evaluation))

    def _training_data(self, work: _Work) -> list[TrainingData]:
        """Take the responses to tune on: of each of the trial's cells, in their order."""
        data = []
        for cell in work.trial.cells:
            held = work.subjects[cell.shard]
            responses = held.subject.responses[cell.hemisphere][:, self._vertices(cell)]
            rows = torch.from_numpy(held.subject.train_rows)
            on_device = torch.from_numpy(responses).to(self._device)
            data.append(TrainingData(held.images, on_device, rows))
        return data

    def _encode(self, work: _Work, encoding: Encoding, clock: Clock) -> None:
        """Score the trial's cells: of a pooled trial, subject by subject, what has no scores."""
        runs, trial = self._workplace.runs, work.trial
        for shard, held in work.subjects.items():
            cells = [cell for cell in trial.cells if cell.shard == shard]
            done = all(score_file(runs, trial.id, cell).exists() for cell in cells)
            if len(work.subjects) == 1 or not done:
                self._encode_subject(replace(work, subjects={shard: held}), encoding, cells, clock)

    def _encode_subject(
        self, work: _Work, encoding: Encoding, of_subject: Sequence[Cell], clock: Clock
    ) -> None:
        [held] = work.subjects.values()
        trial, subject, images = work.trial, held.subject, held.images
        full = Split(subject.train_rows, subject.test_rows, subject.manifest.n_images)
        overlap = self._stimuli.overlap(setting_source(trial), of_subject[0])
        split = _without_seen(trial, full, overlap)
        rows, compact = split.compact(encoding.protocols)
        budget = self._workplace.feature_budget
        if budget is None:
            budget = int(SHARE_FOR_FEATURES * free_bytes(self._device))
        storage = Storage(self._device, budget, self._workplace.scratch)
        with clock.step("features"):
            batches = images.batches(torch.from_numpy(rows), FEATURE_BATCH[self._device.type])
            features = extract(work.network, encoding.layers, batches, len(rows), storage)
        with features, clock.step("encoding"):
            responses = {side: matrix[rows] for side, matrix in subject.responses.items()}
            cells = [(cell, self._vertices(cell)) for cell in of_subject]
            targets = Targets.gather(responses, cells, self._device)
            keep = self._workplace.keep_predictions
            scores = score_cells(features, targets, compact, encoding, keep_predictions=keep)
        for cell in of_subject:
            mine = [_counted(one, overlap, (full, split)) for one in scores if one.cell == cell]
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


def _without_seen(trial: Work, split: Split, overlap: Overlap) -> Split:
    """Return the images to measure r on: where seen ones are to be dropped, the others."""
    if not (isinstance(trial, Evaluation) and trial.drop_seen):
        return split
    left = split.without(overlap.rows)
    if len(left.test) < MIN_ROWS:
        raise ValueError(
            f"{trial.id}: the trunk was trained on {overlap.n_test} of {len(split.test)} test "
            f"images, which leaves {len(left.test)} where {MIN_ROWS} are needed; score it without "
            "--drop-seen, or ingest with --split stimulus and tune again"
        )
    return left


def _counted(scores: CellScores, overlap: Overlap, splits: tuple[Split, Split]) -> CellScores:
    """Add how many images the trunk has seen, and how many are left out for that."""
    full, left = (len(split.rows_for(scores.protocol)) for split in splits)
    return replace(scores, n_seen=overlap.n_test, n_dropped=full - left)


def failed(trial: Work, error: str, *, host: str, device: str) -> Outcome:
    """Make the outcome of a trial that could not be done."""
    return Outcome(trial, "failed", host, device, time.time(), {}, error=error)


def device_name(device: torch.device) -> str:
    """Name a device as people do: ``cpu``, or the GPU's model."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
