"""Measure the time before a large sweep starts: listing, planning and preparing its trials.

python -m benchmarks.planning [--trials 10000]
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.small_shards import write_shards
from orchestrator.cluster.ordering import round_robin
from orchestrator.execution.cost import Costs
from orchestrator.execution.plan import make_plan
from orchestrator.execution.ray_executor import make_job
from orchestrator.sweep.spaces import expand
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Backbone, Contrastive, Roi, Trial

SUBJECTS = 20


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
        jobs = [make_job(work_item, costs, None) for work_item in ordered]
        times.append(time.perf_counter())
    listed, planned, made = (b - a for a, b in pairwise(times))
    print(
        f"{len(jobs):,} trials: {listed:.1f} s to list, {planned:.1f} s to plan, {made:.1f} s to "
        f"make jobs; {times[-1] - times[0]:.1f} s in all"
    )


if __name__ == "__main__":
    main()
