"""Probes of a sweep's backbones: list those that are due and run them on warm actors."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import ray
from rich.console import Console
from rich.progress import Progress

from orchestrator.analyze.settings import Workers
from orchestrator.cli.errors import InputError
from orchestrator.cli.terminal import can_redraw
from orchestrator.cluster.assigned_device import use_assigned_device
from orchestrator.cluster.capacity import WorkerGroupSize
from orchestrator.cluster.connection import connect
from trainables.probes.kinds import KINDS
from trainables.probes.probe import ProbeContext, Probed, probe_file
from trainables.probes.prober import ProbeJob, Prober
from trainables.results.outcome import read_finished
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial
from trainables.training.checkpoint_notes import has_weights

RESTARTS: Final = 2
"""How often a worker that dies is restarted, with the backbone that it was probing."""


class ProbeWorker(Prober):
    """Probe backbones on the GPU that Ray has assigned to this process, or else on the CPU."""

    def __init__(self, context: ProbeContext, threads: int) -> None:
        super().__init__(replace(context, device=use_assigned_device()), threads)


def find_backbones(runs: RunDirectory) -> list[Probed]:
    """Find the backbones of a sweep's finished trials, each once; the untuned ones first.

    Controls tuned on images alone or on another ROI are left out: they are no models of an ROI.
    """
    found: dict[str, Probed] = {}
    for outcome in read_finished(runs):
        trial = outcome.trial
        if isinstance(trial, Trial) and trial.encoding is not None:
            probed = Probed(trial)
            if trial.is_of_own_rois or not probed.is_finetuned:
                found.setdefault(probed.id, probed)
    return sorted(found.values(), key=lambda probed: (probed.is_finetuned, probed.id))


def due(backbones: Iterable[Probed], context: ProbeContext, kinds: Sequence[str]) -> list[ProbeJob]:
    """List the backbones with due probes, and the kinds of these."""
    jobs = []
    for probed in backbones:
        waiting = [
            kind.name
            for kind in KINDS
            if kind.name in kinds
            and kind.applies(probed, context) is None
            and not probe_file(kind, probed, context).exists()
        ]
        if waiting:
            jobs.append(ProbeJob(probed.model.to_json(), tuple(waiting)))
    return jobs


def with_weights(jobs: Iterable[ProbeJob], runs: RunDirectory) -> tuple[list[ProbeJob], str]:
    """Leave out the fine-tuned backbones whose weights were not kept; return a note on them.

    The note is empty if none is left out.
    """
    every, kept = list(jobs), []
    for job in every:
        probed = Probed(Trial.from_json(job.model))
        if not probed.is_finetuned or has_weights(runs.checkpoints(probed.model.training_id)):
            kept.append(job)
    if not (n_left_out := len(every) - len(kept)):
        return kept, ""
    return kept, (
        f"{n_left_out} fine-tuned backbones are not probed: {runs.all_checkpoints} has no weights "
        "of them (were they swept with --keep none?)"
    )


def run_probes(
    jobs: Sequence[ProbeJob], context: ProbeContext, workers: Workers, console: Console
) -> list[str]:
    """Run the due probes; return one line for each that failed."""
    if not jobs:
        return []
    connect(workers.local_cpus)
    actors = _start(context, workers, len(jobs))
    failures: list[str] = []
    with Progress(console=console, transient=True, disable=not can_redraw(console)) as progress:
        bar = progress.add_task("probing backbones", total=len(jobs))

        def ended(lines: Sequence[str]) -> None:
            failures.extend(lines)
            progress.advance(bar)

        _hand_out(jobs, actors, ended)
    for actor in actors:
        ray.kill(actor)
    return failures


def _start(context: ProbeContext, workers: Workers, n_jobs: int) -> list[Any]:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = workers.gpus
    if gpus is None:
        gpus = min(1.0, resources.get("GPU", 0.0))
    size = WorkerGroupSize(workers.cpus, gpus, 1)
    n_actors = min(size.fits(resources), workers.at_most or n_jobs, n_jobs)
    if n_actors == 0:
        raise InputError(size.missing(resources))
    start = ray.remote(ProbeWorker).options(
        num_cpus=workers.cpus, num_gpus=gpus, max_restarts=RESTARTS, max_task_retries=RESTARTS
    )
    return [start.remote(context, workers.cpus) for _ in range(n_actors)]


def _hand_out(
    jobs: Sequence[ProbeJob], actors: Sequence[Any], ended: Callable[[Sequence[str]], None]
) -> None:
    """Give each actor one backbone after another."""
    waiting = list(jobs)
    running: dict[Any, tuple[Any, ProbeJob]] = {}
    idle = list(actors)
    while waiting or running:
        while waiting and idle:
            actor, job = idle.pop(), waiting.pop(0)
            running[actor.probe.remote(job)] = (actor, job)
        [done], _ = ray.wait(list(running))
        actor, job = running.pop(done)
        try:
            ended(ray.get(done))
            idle.append(actor)
        except ray.exceptions.RayActorError as error:
            name = Probed(Trial.from_json(job.model)).id
            ended([f"{name}: its worker died {RESTARTS + 1} times ({str(error).splitlines()[0]})"])
            if not running and not idle:
                ended([f"{len(waiting)} backbones are left: no worker is alive; run this again"])
                return
