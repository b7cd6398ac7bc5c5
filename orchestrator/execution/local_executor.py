"""Run trials one after another in this process, without Ray: for debuggers and small machines.

Trials, their order, files and scores are the same as on a cluster with one worker. Unlike on a
cluster, a process that hangs or is killed for lack of memory is not restarted.
"""

from bdb import BdbQuit
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import zip_longest
from typing import Any

import torch

from orchestrator.cli.errors import InputError, full_disk
from orchestrator.cluster.jobs import Progress
from orchestrator.execution.monitor import Monitor
from orchestrator.execution.plan import Plan
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.setup import run_context_of
from trainables.compute.device import device_name
from trainables.compute.failures import failure_of
from trainables.exceptions import Failure
from trainables.results.epoch_report import EpochReport
from trainables.spec.evaluation import WorkItem
from trainables.worker.runner import TrialRunner


class LocalExecutor:
    """Runs work one trial after another in this process.

    Raises InputError if a GPU is requested and this process has none.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._device = _device_for(settings.resources.gpus)
        self._running: Progress | None = None

    def connect(self, say: Callable[[str], None]) -> None:
        """Say which device of this process is used."""
        say(f"in this process, on {device_name(self._device)}, one after another")

    def run(self, plan: Plan, monitor: Monitor) -> Mapping[str, str]:
        """Run the waiting work in order; a failed trial does not stop the others.

        Raises InputError if the device has failed, because this process can't use it any more, or
        if the disk is full.
        """
        share = min(1.0, self._settings.resources.gpus or 1.0)
        runner = TrialRunner(run_context_of(self._settings, share_of_gpu=share), self._device)
        waiting = plan.waiting
        monitor.tracker.prepare()
        with monitor.display(waiting, self._progress, lambda: "", redraws=False) as display:
            watcher = monitor.watcher(display, waiting)
            for work_item, following in zip_longest(waiting, waiting[1:]):
                failure = self._try(runner, work_item, following)
                if failure is None:
                    watcher.finished(work_item.id)
                else:
                    watcher.failed(work_item.id, failure)
                    _check_can_continue(failure)
        return monitor.failures

    def _try(
        self, runner: TrialRunner, work_item: WorkItem, following: WorkItem | None
    ) -> Failure | None:
        """Run a trial as often as retries allow; return why it failed, or None if it succeeded.

        following: what is run after it.
        """
        failure = None
        for _ in range(self._settings.options.retries + 1):
            self._running = Progress(work_item.id, group="local", stage="starting")
            try:
                runner.run(work_item, _Listener(self._running, following))
            except BdbQuit:
                raise KeyboardInterrupt from None  # quitting the debugger ends the sweep
            except Exception as error:
                failure = failure_of(error)
                if failure.kind in ("device", "disk-full"):
                    return failure
            else:
                return None
            finally:
                self._running = None
        return failure

    def _progress(self) -> list[dict[str, Any]]:
        running = self._running
        return [] if running is None else [asdict(running)]


class _Listener:
    """Keeps the progress of the running trial."""

    def __init__(self, progress: Progress, following: WorkItem | None) -> None:
        self._progress = progress
        self._following = following

    def stage(self, name: str) -> None:
        self._progress.stage = name

    def epoch(self, report: EpochReport) -> bool:
        self._progress.epoch, self._progress.loss = report.epoch, report.loss
        self._progress.retrieval_top1 = report.retrieval_top1
        self._progress.images_per_second = report.images_per_second
        return True

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        return self._following


def _check_can_continue(failure: Failure) -> None:
    """Raise InputError if every further trial would fail too: no device, or a full disk."""
    last = failure.message.strip().splitlines()[-1]
    if failure.kind == "device":
        raise InputError(
            f"the device has failed ({last}), and this process can't use it any more; run the same "
            "command again to resume in a new process"
        )
    if failure.kind == "disk-full":
        raise full_disk(failure)


def _device_for(gpus: float | None) -> torch.device:
    """Return the GPU if there is one, unless none is requested."""
    has_gpu = torch.cuda.is_available()
    if gpus and not has_gpu:
        raise InputError(
            f"--local --gpus-per-trial {gpus:g}: this process has no GPU; omit the option, or "
            "run on the cluster without --local"
        )
    return torch.device("cuda" if has_gpu and gpus != 0 else "cpu")
