"""One trial, or evaluation, on a warm worker: read, fine-tune, encode, write the scores."""

import os
import socket
import time

import torch

from trainables.compute.device import device_name, indexed, use_threads
from trainables.compute.precision import exactly
from trainables.data.shards import read_planned_vertices
from trainables.data.stimuli import KnownStimuli
from trainables.models import backbones
from trainables.results.epoch_report import EpochReport
from trainables.results.event_log import TrialLog, log_file
from trainables.results.outcome import Outcome
from trainables.spec import Pooled, Trial, Tuned, Untuned
from trainables.spec.evaluation import Evaluation, Work, setting_source
from trainables.storage.s3_mirror import pull
from trainables.training.checkpoints import (
    Checkpoints,
    load_network,
    remove_checkpoints,
)
from trainables.training.distributed import ALONE, Team
from trainables.training.epoch import TrainingData
from trainables.training.finetune import Stopped, finetune, finetune_pooled
from trainables.training.microbatches import SMALLEST, Parts, can_be_split, is_out_of_memory
from trainables.training.synchronised import Passing
from trainables.worker.context import PreparedTrial, Workplace
from trainables.worker.progress import Clock, Listener, Logged, Silent
from trainables.worker.score_subject import SubjectScorer
from trainables.worker.subject_cache import HeldSubjects


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
        self._scorer = SubjectScorer(workplace, device, KnownStimuli(workplace.data))

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
                self._scorer.score(work, trial.encoding, clock)
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

    def _tune(self, trial: Trial, clock: Clock) -> tuple[PreparedTrial, tuple[EpochReport, ...]]:
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
        self, work: PreparedTrial, trial: Trial, listener: Listener, part: int | None
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

    def _smaller_part(self, work: PreparedTrial, objective: Tuned, part: int | None) -> int:
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

    def _read_alone(self, trial: Trial) -> PreparedTrial:
        """Read anew what a trial is about, with nothing else in this worker's memory."""
        self._subjects.let_go()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return self._read(trial)

    def _read(self, trial: Trial) -> PreparedTrial:
        subjects = self._subjects.of(trial)
        network = backbones.load(trial.trunk, self._workplace.weights_file).to(self._device)
        return PreparedTrial(trial, network, subjects)

    def _read_tuned(self, evaluation: Evaluation, clock: Clock) -> PreparedTrial:
        """Read the checkpoint of a tuned trunk, and the subject to score it on."""
        with clock.step("reading"):
            directory = self._workplace.checkpoint(evaluation)
            network = load_network(directory, evaluation.trunk.architecture)
            subjects = self._subjects.of(evaluation)
            return PreparedTrial(evaluation, network.to(self._device), subjects)

    def _training_data(self, work: PreparedTrial) -> list[TrainingData]:
        """Take the responses to tune on: of each of the trial's cells, in their order."""
        data = []
        for cell in work.trial.cells:
            held = work.subjects[cell.shard]
            vertices = read_planned_vertices(self._workplace.data, cell)
            responses = held.subject.responses[cell.hemisphere][:, vertices]
            rows = torch.from_numpy(held.subject.train_rows)
            on_device = torch.from_numpy(responses).to(self._device)
            data.append(TrainingData(held.images, on_device, rows))
        return data
