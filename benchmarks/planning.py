"""Measure the time before a large sweep starts: listing, planning and preparing its trials.

It is planned once without results, and twice when all trials are finished, as a command does before
and after it acquires the run lock.

python -m benchmarks.planning [--trials 10000]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.small_shards import write_shards
from orchestrator.cluster.ordering import round_robin
from orchestrator.execution.cost import Costs
from orchestrator.execution.plan import make_plan, with_strangers
from orchestrator.execution.ray_executor import make_job
from orchestrator.sweep.spaces import expand
from trainables.data.data_directory import DataDirectory
from trainables.encoding.score_rois import RoiScores
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import describe_scores, write_scores
from trainables.spec import Backbone, Contrastive, Roi, Trial
from trainables.storage.atomic import CHECKED

SUBJECTS = 20
N_VERTICES = 500


def main() -> None:
    """Plan, and print the seconds of each part."""
    parser = argparse.ArgumentParser(description="Planning a large sweep.")
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()

    def space(rois: Sequence[Roi]) -> Iterator[Trial]:
        for seed in range(-(-options.trials // len(rois))):
            for roi in rois:
                yield Trial(Contrastive(epochs=3), (roi,), Backbone("narrow-alexnet"), seed=seed)

    with tempfile.TemporaryDirectory() as home:
        subjects = [f"subj{number:02d}" for number in range(1, SUBJECTS + 1)]
        rois = write_shards(Path(home) / "data", subjects, n_images=40)
        costs = Costs.read(DataDirectory(Path(home) / "data"), gpus=False)
        times = [time.perf_counter()]
        trials = expand(space, rois, None)
        times.append(time.perf_counter())
        plan = make_plan(trials, RunDirectory(Path(home) / "runs"), costs)
        times.append(time.perf_counter())
        ordered = round_robin(plan.waiting, 8, lambda work_item: work_item.shards)
        jobs = [make_job(work_item, costs, None, {}) for work_item in ordered]
        times.append(time.perf_counter())
        finished = plan_finished(trials, RunDirectory(Path(home) / "runs"), costs)
    listed, planned, made = (b - a for a, b in pairwise(times))
    print(
        f"{len(jobs):,} trials: {listed:.1f} s to list, {planned:.1f} s to plan, {made:.1f} s to "
        f"make jobs; {times[-1] - times[0]:.1f} s in all"
    )
    print(
        "when all are finished: " + ", ".join(f"{name} {s:.1f} s" for name, s in finished.items())
    )


def plan_finished(trials: Sequence[Trial], runs: RunDirectory, costs: Costs) -> dict[str, float]:
    """Write results of all trials, and return the seconds of planning again, by part."""
    table = make_scores(runs, trials[0])
    for trial in trials:
        path = runs.score_file(trial.id, trial.rois[0].id)
        path.parent.mkdir(parents=True, exist_ok=True)
        described = table.replace_schema_metadata(describe_scores(trial, "0"))
        pq.write_table(described, path, compression="zstd", **CHECKED)
        Outcome(trial, "finished", "host", "cpu", 0.0, {}).write(runs)
    time.sleep(3)  # files that have just changed are read each time
    times = [time.perf_counter()]
    make_plan(trials, runs, costs)
    times.append(time.perf_counter())
    plan = make_plan(trials, runs, costs)
    times.append(time.perf_counter())
    assert with_strangers(plan, runs).n_done == len(trials)
    times.append(time.perf_counter())
    names = ("first plan", "second plan", "other files")
    return {name: b - a for name, (a, b) in zip(names, pairwise(times), strict=True)}


def make_scores(runs: RunDirectory, trial: Trial) -> pa.Table:
    """Make scores of 500 vertices at 8 layers, which all trials get."""
    values = np.random.default_rng(0).uniform(size=(8, N_VERTICES))
    layers = tuple(map(str, range(8)))
    vertex = np.arange(N_VERTICES, dtype=np.int32)
    scores = RoiScores(
        trial.rois[0], "nested", "0", layers, vertex, values[0], values[1], values, values, 15
    )
    return pq.read_table(write_scores(runs, trial, [scores]))


if __name__ == "__main__":
    main()
