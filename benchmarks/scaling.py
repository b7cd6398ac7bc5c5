"""Simulate the scaling of the paper's programme on clusters of 1 to 512 GPUs.

python -m benchmarks.scaling --steps FILE [--gpus 1,8,64,512] [--subjects 8,100,1000]
python -m benchmarks.scaling --seconds 20
python -m benchmarks.scaling --check RUNS-OF-ONE-WORKER_GROUP RUNS-OF-TWO-ROI_GROUPS

FILE has the times of a trial's steps, from ``python -m benchmarks.trial --json FILE``. A subject
has 39 ROIs, each with a contrastive and a regression trial, and an untuned backbone; eight subjects
have 43 pooled ROIs by two objectives. ``--check`` compares the simulation with real sweeps: the
order and times of one worker group's trials predict the time of two groups.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any, Final

import numpy as np

from benchmarks.programme import POOLED, ROIS, SUBJECTS
from benchmarks.simulated_cluster import Account, Cluster, Simulation, Task
from trainables.results.outcome import Outcome, read_outcomes
from trainables.results.run_directory import RunDirectory

SEEDS: Final = 3


def main() -> None:
    """Read the options; run the simulation or its check."""
    parser = argparse.ArgumentParser(description="Simulate scaling from measured steps.")
    parser.add_argument("--steps", type=Path, metavar="FILE", help="results of benchmarks.trial")
    parser.add_argument("--seconds", type=float, help="time of every trial, instead of --steps")
    parser.add_argument("--gpus", default="1,2,4,8,16,32,64,128,256,512")
    parser.add_argument("--subjects", default="8,100,1000")
    parser.add_argument("--check", type=Path, nargs=2, metavar="RUNS")
    options = parser.parse_args()
    if options.check:
        check(*options.check)
    elif options.steps or options.seconds:
        seconds = (
            {"finetuning": {1000: options.seconds}, "scoring": {1000: 0.0}}
            if options.seconds
            else trial_seconds(json.loads(options.steps.read_text(encoding="utf-8")))
        )
        print(HEAD)
        for n_subjects in map(int, options.subjects.split(",")):
            tasks = list(programme(n_subjects, seconds))
            for gpus in map(int, options.gpus.split(",")):
                print(row(n_subjects, gpus, tasks), flush=True)
    else:
        parser.error("give --steps FILE, --seconds S or --check RUNS RUNS")


HEAD: Final = (
    "| subjects | GPUs | hours | GPU-hours | efficiency "
    "| reading | starting | queue | lost | rest |\n|---|---|---|---|---|---|---|---|---|---|"
)


def trial_seconds(measured: dict[str, Any]) -> dict[str, dict[int, float]]:
    """Sum a trial's steps by purpose, for each measured number of vertices."""
    found: dict[str, dict[int, float]] = {"finetuning": {}, "scoring": {}}
    for n_vertices, steps in measured["steps"].items():
        for kind, total in found.items():
            total[int(n_vertices)] = sum(
                step["seconds"]
                for step in steps
                if step["name"] not in ("reading", "host to device")
                and (step["name"] == "fine-tuning") == (kind == "finetuning")
            )
    return found


def programme(n_subjects: int, seconds: dict[str, dict[int, float]]) -> Iterator[Task]:
    """Yield the paper's trials in the order of the plan: pooled first, then by subject."""

    def at(kind: str, n_vertices: int) -> float:
        sizes = sorted(seconds[kind])
        return float(np.interp(n_vertices, sizes, [seconds[kind][size] for size in sizes]))

    for first in range(0, n_subjects, SUBJECTS):
        pool = tuple(range(first, min(first + SUBJECTS, n_subjects)))
        for _ in range(2 * POOLED):
            yield Task(pool, len(pool) * (at("finetuning", 1000) + at("scoring", 1000)))
    for subject in range(n_subjects):
        for n_vertices in sorted(ROIS, reverse=True):
            for _ in ("contrastive", "regression"):
                cost = at("finetuning", n_vertices) + at("scoring", n_vertices)
                yield Task((subject,), cost)
        yield Task((subject,), at("scoring", max(seconds["scoring"])))


def row(n_subjects: int, gpus: int, tasks: Sequence[Task]) -> str:
    """Simulate a few times; format the means and the spread of the hours."""
    cluster = Cluster(gpus)
    found = [Simulation(cluster, tasks, seed).run() for seed in range(SEEDS)]
    hours = [one.wall / 3600 for one in found]
    return (
        f"| {n_subjects:,} | {gpus} | {mean(hours):,.2f} ± {pstdev(hours):.2f} "
        f"| {mean(hours) * gpus:,.0f} | {mean(one.efficiency(gpus) for one in found):.1%} | "
        + " | ".join(f"{share:.1%}" for share in shares(found, gpus))
        + " |"
    )


def shares(found: Sequence[Account], gpus: int) -> Iterator[float]:
    """Yield the shares of GPU time of reading, starting, the queue, losses and the end."""
    names = ("reading", "starting", "handing_over", "lost")
    total = sum(one.wall * gpus for one in found)
    taken = [sum(getattr(one, name) for one in found) / total for name in names]
    yield from taken
    yield 1 - sum(taken) - sum(one.work for one in found) / total


def check(one: Path, two: Path) -> None:
    """Print the predicted and the measured time of one and of two worker groups."""
    outcomes = sorted(_outcomes(one), key=lambda outcome: outcome.started)
    tasks = [
        Task((hash(outcome.trial.shards),), sum(outcome.seconds.values())) for outcome in outcomes
    ]
    for n_worker_groups, runs in ((1, one), (2, two)):
        quiet = Cluster(n_worker_groups, boot=0.0, group_start=0.0, spread=0.0, subject_bytes=0.0)
        predicted = Simulation(quiet, tasks).run().wall
        real = _span(_outcomes(runs))
        print(
            f"{n_worker_groups} groups, {len(tasks)} trials: simulated {predicted:.1f} s, "
            f"measured {real:.1f} s, ratio {real / predicted:.2f}"
        )


def _outcomes(runs: Path) -> list[Outcome]:
    return list(read_outcomes(RunDirectory(runs)))


def _span(outcomes: Sequence[Outcome]) -> float:
    """Return the seconds from the first trial's start to the last one's end."""
    starts = [one.started for one in outcomes]
    return max(one.started + sum(one.seconds.values()) for one in outcomes) - min(starts)


if __name__ == "__main__":
    main()
