"""Run a trial or evaluation on a warm worker: read, fine-tune, encode, write scores."""

import logging
import socket
import time
from typing import TypeGuard

import torch

from trainables.compute.allocator import keep_freed_memory
from trainables.compute.device import device_name, indexed, limit_memory, use_threads
from trainables.compute.failures import device_failure
from trainables.compute.precision import torch_set_for
from trainables.data.stimuli import KnownStimuli
from trainables.exceptions import OutOfMemory, Stopped
from trainables.results.epoch_report import EpochReport
from trainables.results.event_log import TrialLog
from trainables.results.outcome import Outcome, read_ended
from trainables.spec import Finetuned, Trial, Untuned
from trainables.spec.evaluation import Evaluation, WorkItem
from trainables.storage.background import Background
from trainables.training.checkpoints import Checkpoints
from trainables.training.distributed import SINGLE_PROCESS, TrialProcessGroup
from trainables.training.finetune import finetune
from trainables.training.microbatches import SMALLEST, Microbatcher, can_be_split
from trainables.training.synchronised import ForwardConfig
from trainables.worker.context import PreparedTrial, RunContext, numerics_of
from trainables.worker.prefetch import SHARE_OF_MEMORY, Prefetch, Prefetcher
from trainables.worker.progress import Clock, Listener, Logged, Silent
from trainables.worker.reading import TrialReader
from trainables.worker.score_subject import SubjectScorer
from trainables.worker.subject_cache import SubjectCache

_logger = logging.getLogger(__name__)


class TrialRunner:
    """Runs trials and evaluations one after another, and caches subjects between them.

    process_group: the workers that share each trial; the first runs it, and the others assist.
    """

    def __init__(
        self,
        context: RunContext,
        device: torch.device,
        process_group: TrialProcessGroup = SINGLE_PROCESS,
    ) -> None:
        use_threads(context.threads)
        keep_freed_memory()
        device = indexed(device)
        if device.type == "cuda" and context.share_of_gpu < 1:
            limit_memory(device, context.share_of_gpu)
        self._context = context
        self._device = device
        self._process_group = process_group
        self._subjects = SubjectCache(
            context.data, device, context.image_budget, context.runs.scratch
        )
        self._reader = TrialReader(context, device, self._subjects)
        self._background = Background()
        """Writes checkpoints while the next epoch or the encoding is computed."""
        self._prefetcher = Prefetcher()
        self._scorer = SubjectScorer(
            context, device, KnownStimuli(context.data), self._subjects.evict_unused
        )

    @property
    def held(self) -> frozenset[str]:
        """The shards of the subjects in memory."""
        return self._subjects.held

    def run(self, trial: WorkItem, listener: Listener) -> Outcome:
        """Run a trial from a clean state, write its scores, log and outcome; return the outcome.

        An evaluation is run in the same way, with the backbone of a checkpoint. A trial that has
        ended with all its scores keeps its outcome. Raises ValueError for unusable data, weights or
        checkpoints, OutOfMemory, and Diverged; a stopped trial is an outcome, not an error.
        """
        self._prefetcher.stop(trial)
        if (ended := self._find_ended(trial)) is not None:
            self._remove_unkept(trial)
            return ended
        if self._device.type == "cuda":  # the peak that is reported is this trial's
            torch.cuda.reset_peak_memory_stats(self._device)
        log = TrialLog(self._context.runs.log_file(trial.id))
        log.note("started", device=device_name(self._device))
        _logger.info("%s: started on %s", trial.id, device_name(self._device))
        try:
            with torch_set_for(numerics_of(trial)):
                outcome = self._run(trial, Logged(listener, log))
        except BaseException as error:
            self._prefetcher.abandon()  # the process may end now
            if isinstance(error, Exception):
                log.note("failed", error=f"{type(error).__name__}: {error}")
                _logger.warning("%s: failed, %s: %s", trial.id, type(error).__name__, error)
            raise
        log.note(outcome.status, seconds=outcome.seconds)
        seconds = sum(outcome.seconds.values())
        _logger.info("%s: %s after %.1f s", trial.id, outcome.status, seconds)
        return outcome

    def _find_ended(self, trial: WorkItem) -> Outcome | None:
        """Return the outcome of a trial whose worker was lost after it had written it."""

        def read() -> Outcome | None:
            runs = self._context.runs
            runs.fetch_trial(trial)  # an earlier attempt may have run on another machine
            return read_ended(runs, trial)

        return self._process_group.decide(read) if _is_shared(trial) else read()

    def _run(self, trial: WorkItem, listener: Listener) -> Outcome:
        clock, started = Clock(listener), time.time()
        history: tuple[EpochReport, ...] = ()
        try:
            if isinstance(trial, Evaluation):
                with clock.step("reading"):
                    work_item = self._reader.read_finetuned(trial)
            else:
                work_item, history = self._finetune(trial, clock)
            if trial.encoding is not None:
                self._prefetch(trial, listener)
                self._scorer.score(work_item, trial.encoding, clock)
        except Stopped as stopped:
            return self._outcome(trial, clock, started, stopped.history, stopped=True)
        except BaseException:
            self._background.drain()
            raise
        finally:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
        return self._outcome(trial, clock, started, history, stopped=False)

    def run_rank(self, trial: WorkItem) -> None:
        """Fine-tune with the other workers of the process group; the first does the rest alone.

        Raises Stopped, or Abandoned if another worker fails, in all workers of the process group.
        """
        try:
            if _is_shared(trial) and self._find_ended(trial) is None:
                with torch_set_for(numerics_of(trial)):
                    self._finetune(trial, Clock(Silent()))
        finally:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _outcome(
        self,
        trial: WorkItem,
        clock: Clock,
        started: float,
        history: tuple[EpochReport, ...],
        *,
        stopped: bool,
    ) -> Outcome:
        self._background.wait()
        outcome = Outcome(
            trial,
            "stopped" if stopped else "finished",
            socket.gethostname(),
            device_name(self._device),
            started,
            clock.seconds,
            history,
        )
        outcome.write(self._context.runs)
        self._remove_unkept(trial)
        return outcome

    def _prefetch(self, present: WorkItem, listener: Listener) -> None:
        """Read the files of the next trial in a thread, now that this one has read its own."""
        held = self._subjects.image_sizes
        memory = int(SHARE_OF_MEMORY * self._subjects.free_host_bytes())
        prefetch = Prefetch(self._context, present, held, memory)
        self._prefetcher.start(prefetch, lambda: listener.upcoming(frozenset(held)))

    def _remove_unkept(self, work_item: WorkItem) -> None:
        """Remove the weights of a trial that has ended, if they were needed only by it."""
        context = self._context
        is_removable = _is_shared(work_item) and work_item.training_id in context.removable
        if context.of_search or is_removable:
            context.checkpoint(work_item).remove()

    def _finetune(
        self, trial: Trial, clock: Clock
    ) -> tuple[PreparedTrial, tuple[EpochReport, ...]]:
        """Read the trial's data and backbone, and fine-tune the backbone unless untuned."""
        objective, process_group = trial.objective, self._process_group
        if isinstance(objective, Untuned):
            with clock.step("reading"):
                return self._reader.read(trial), ()
        process_group.decide(lambda: clock.listener.stage("reading"))
        with clock.timed("reading"):
            # Out of memory in lockstep, no worker could evict subjects alone.
            work_item = process_group.together(
                lambda: self._reader.read(trial, keep_unused=process_group.size == 1)
            )
        process_group.decide(lambda: clock.listener.stage("finetuning"))
        part: int | None = None
        while True:
            try:
                return work_item, self._train(work_item, trial, clock, part)
            except (RuntimeError, MemoryError) as error:
                if device_failure(error) != "out-of-memory":
                    raise
                if self._process_group.size > 1 or not self._subjects.evict_unused():
                    part = self._smaller_microbatch(work_item, objective, part)
            n = part or objective.batch_size
            _logger.warning("%s: out of memory, retrying with %d images at a time", trial.id, n)
            del work_item  # the last reference to the failed attempt: frees its memory
            clock.listener.stage(f"finetuning, {n} images at a time")
            work_item = self._reader.read_alone(trial)

    def _train(
        self, work_item: PreparedTrial, trial: Trial, clock: Clock, part: int | None
    ) -> tuple[EpochReport, ...]:
        """Fine-tune the backbone from its last checkpoint; part: images per microbatch."""
        with clock.timed("reading"):
            data = self._process_group.together(lambda: self._reader.training_data(work_item))
        checkpoints = Checkpoints(
            self._context.checkpoint(work_item.trial),
            keep=self._context.keep,
            background=self._background,
        )
        assert not isinstance(trial.objective, Untuned)
        if self._process_group.is_first:
            self._prefetch(trial, clock.listener)
        with clock.timed("finetuning"):
            return finetune(
                trial.objective,
                trial.seed,
                work_item.network,
                data,
                checkpoints,
                clock.listener.epoch,
                process_group=self._process_group,
                forward_config=ForwardConfig(
                    Microbatcher(part) if part else None, trial.precision, numerics_of(trial)
                ),
            )

    def _smaller_microbatch(
        self, work_item: PreparedTrial, objective: Finetuned, part: int | None
    ) -> int:
        """Halve the images per microbatch; raise OutOfMemory if that is not possible."""
        smaller = (part or objective.batch_size) // 2
        where = f"{work_item.trial.id}: out of memory on {device_name(self._device)}"
        cure = "use a smaller batch_size, a device with more memory, or --workers-per-trial"
        if self._process_group.size > 1:
            raise OutOfMemory(f"{where}, shared by {self._process_group.size} workers; {cure}")
        if not can_be_split(work_item.network):
            raise OutOfMemory(f"{where}, and its BatchNorm needs whole batches; {cure}")
        if smaller < SMALLEST:
            raise OutOfMemory(f"{where}, even with {part} images at a time; {cure}")
        return smaller


def _is_shared(trial: WorkItem) -> TypeGuard[Trial]:
    """Return whether all workers of a process group take part: in fine-tuning, not in scoring."""
    return isinstance(trial, Trial) and not isinstance(trial.objective, Untuned)
