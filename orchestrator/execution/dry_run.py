"""Show what a sweep or evaluation would do: trials, their time and memory, and what won't fit."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from orchestrator.cli.text import duration, n_bytes
from orchestrator.execution.cost import Costs
from orchestrator.execution.disk import DiskNeed
from orchestrator.execution.plan import Plan
from orchestrator.execution.remaining_time import last_end
from orchestrator.execution.settings import RunSettings
from orchestrator.execution.work_left import seconds_of
from trainables.compute.memory import memory_limit
from trainables.spec.evaluation import WorkItem

SHOWN: Final = 12
GPU_DRIVERS: Final = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Devices of the drivers of GPUs: of NVIDIA, of AMD, and in Windows' Linux."""


def show_plan(
    plan: Plan, costs: Costs, settings: RunSettings, console: Console, noun: str = "trials"
) -> None:
    """Print a plan: one line per (subject, method), totals, and the trials that won't fit.

    settings: of the run that would execute it. noun: what is counted.
    """
    concurrent, options = settings.max_concurrent, settings.options
    n_cpus = len(os.sched_getaffinity(0))
    n_here = 1 if settings.on_cluster else max(1, n_cpus // (costs.workers * costs.threads))
    n_workers = concurrent or n_here
    console.print(_table(plan, costs, noun))
    each = seconds_of(plan.waiting, costs, settings.runs)
    in_all = last_end([0.0] * n_workers, each.values())
    asked = (
        f"{duration(in_all)} with {n_workers} at once"
        if concurrent or not settings.on_cluster
        else "one worker at a time; --max-concurrent N shows the time with N at once"
    )
    console.print(
        f"{len(plan.trials)} {noun}: {plan.n_done} done, {len(plan.waiting)} to run; about "
        f"{duration(sum(each.values()))} of work, {asked}",
        highlight=False,
        soft_wrap=True,
    )
    for note in plan.notes:
        console.print(note, highlight=False, markup=False)
    basis = (
        "estimated from operation counts and a typical speed of this kind of device"
        if costs.scale == 1.0
        else f"estimated from operation counts and finished trials (factor {costs.scale:.2g})"
    )
    console.print(f"time is {basis}", highlight=False)
    need = DiskNeed.of(plan, costs, options.keep, keep_predictions=options.keep_predictions)
    for line in need.describe(settings.runs, options.keep, n_workers):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    _show_what_does_not_fit(plan, costs, n_workers * costs.workers, console)


def _table(plan: Plan, costs: Costs, noun: str) -> Table:
    table = Table("subject", "method", noun, "done", "time each", "memory each")
    total = Counter(map(_row, plan.trials))
    left = Counter(map(_row, plan.waiting))
    for (subjects, method), n_trials in sorted(total.items()):
        alike = [trial for trial in plan.trials if _row(trial) == (subjects, method)]
        estimates = [costs.estimate(trial) for trial in alike]
        table.add_row(
            subjects,
            method,
            str(n_trials),
            str(n_trials - left[subjects, method]),
            duration(sum(e.seconds for e in estimates) / len(estimates)),
            n_bytes(max(e.bytes for e in estimates)),
        )
    return table


def _row(trial: WorkItem) -> tuple[str, str]:
    """Name the row that counts a trial: its subject, or its number of subjects; its method."""
    if len(trial.shards) == 1:
        return trial.shards[0], trial.method
    return f"{trial.rois[0].dataset}, {len(trial.shards)} subjects", trial.method


def _show_what_does_not_fit(plan: Plan, costs: Costs, n_workers: int, console: Console) -> None:
    memory = _device_memory(n_workers)
    needs = {trial.id: costs.estimate(trial).bytes for trial in plan.waiting}
    for where, available in memory.items():
        large = {trial_id: need for trial_id, need in needs.items() if need > available}
        if not large:
            console.print(f"every trial fits {where} ({n_bytes(available)})", highlight=False)
            continue
        console.print(
            f"{len(large)} trials won't fit {where} ({n_bytes(available)}); "
            "lower --max-concurrent, or give each more memory:",
            highlight=False,
        )
        for trial_id, need in list(large.items())[:SHOWN]:
            console.print(f"  {trial_id}: {n_bytes(need)}", highlight=False)
        if len(large) > SHOWN:
            console.print(f"  … and {len(large) - SHOWN} more", highlight=False)


def _device_memory(n_workers: int) -> Mapping[str, int]:
    """Return the bytes each worker may use, by device: a GPU's, else its share of this machine."""
    if any(Path(device).exists() for device in GPU_DRIVERS):
        import torch

        if not torch.cuda.is_available():
            return _host_memory(n_workers)
        total = torch.cuda.get_device_properties(0).total_memory
        return {f"one {torch.cuda.get_device_name(0)}": int(total)}
    return _host_memory(n_workers)


def _host_memory(n_workers: int) -> Mapping[str, int]:
    total = memory_limit()
    return {f"this machine's memory of {n_bytes(total)}, shared by {n_workers}": total // n_workers}
