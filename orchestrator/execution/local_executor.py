"""Work in this process, one trial after another, without Ray: for a debugger, and small machines.

The trials, their order, their files and their scores are those of a cluster with one worker. What
a cluster adds is missing: nobody restarts a worker that hangs, or one that runs out of memory.
"""

from bdb import BdbQuit
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from orchestrator.cli.errors import InputError
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
    """Runs work in this process.

    Raises InputError when a GPU is asked for, and this process has none.
    """

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._device = _device_for(settings.resources.gpus)
        self._running: Progress | None = None

    def connect(self) -> str:
        """Say where the work runs."""
        return f"in this process, on {device_name(self._device)}, one after another"

    def run(self, plan: Plan, monitor: Monitor) -> Mapping[str, str]:
        """Run what waits, in order; a failure is an outcome, and the others are run.

        Raises InputError when the device has failed, which this process can't use any more.
        """
        share = min(1.0, self._settings.resources.gpus or 1.0)
        runner = TrialRunner(run_context_of(self._settings, share_of_gpu=share), self._device)
        waiting = plan.waiting
        with monitor.display(waiting, self._progress, lambda: "", redraws=False) as display:
            watcher = monitor.watcher(display, waiting)
            for work_item in waiting:
                failure = self._try(runner, work_item)
                if failure is None:
                    watcher.finished(work_item.id)
                else:
                    watcher.failed(work_item.id, failure)
                    _check_device(failure)
        return monitor.failures

    def _try(self, runner: TrialRunner, work_item: WorkItem) -> Failure | None:
        """Run a trial as often as retries allow; return why it failed, or None when it is done."""
        failure = None
        for _ in range(self._settings.options.retries + 1):
            self._running = Progress(work_item.id, group="local", stage="starting")
            try:
                runner.run(work_item, _Listener(self._running))
            except BdbQuit:
                raise KeyboardInterrupt from None  # the debugger was left: so is the sweep
            except Exception as error:
                failure = failure_of(error)
                if failure.kind == "device":
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

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def stage(self, name: str) -> None:
        self._progress.stage = name

    def epoch(self, report: EpochReport) -> bool:
        self._progress.epoch, self._progress.loss = report.epoch, report.loss
        self._progress.retrieval_top1 = report.retrieval_top1
        self._progress.images_per_second = report.images_per_second
        return True


def _check_device(failure: Failure) -> None:
    """Refuse to go on where the device has failed: each further trial would fail for that alone."""
    if failure.kind == "device":
        last = failure.message.strip().splitlines()[-1]
        raise InputError(
            f"the device has failed ({last}), and this process can't use it any more; the same "
            "command goes on here in a new one"
        )


def _device_for(gpus: float | None) -> torch.device:
    """Choose the GPU where there is one, unless none is asked for."""
    has_gpu = torch.cuda.is_available()
    if gpus and not has_gpu:
        raise InputError(
            f"--local --gpus-per-trial {gpus:g}: this process has no GPU; leave the flag out, or "
            "run on the cluster without --local"
        )
    return torch.device("cuda" if has_gpu and gpus != 0 else "cpu")
