"""Measure what commands cost before, or without, any computation: CPU seconds and time.

python -m benchmarks.start_up [--runs 5]

The least of several runs, on a data directory of one small subject. Most of each is imports. Of the
sweep on Ray, CPU seconds are those of its own process and of Ray's, without the workers', and the
time until its trial began is printed too.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.small_shards import write_shards, write_weights
from trainables.results.outcome import read_outcomes
from trainables.results.run_directory import RunDirectory

SPACE: Final = """\
from trainables.spec import *

def trials(rois):
    encoding = Encoding(layers=("features.5", "classifier.5"), n_folds=3)
    for roi in rois:
        yield Trial(Untuned(), (roi,), Backbone("narrow-alexnet", FROM_FILE), encoding)
"""
PROGRAM: Final = ("-m", "orchestrator")
SWEEP: Final = (*PROGRAM, "sweep", "space.py", "--data", "data", "--weights", "weights.safetensors")
VARIANTS: Final[dict[str, tuple[str, ...]]] = {
    "`--help`": (*PROGRAM, "sweep", "--help"),
    "an option that does not exist": (*PROGRAM, "sweep", "--stall-time", "3"),
    "a search space that does not exist": (*PROGRAM, "sweep", "papre"),
    "`--data` that does not exist": (*PROGRAM, "sweep", "space.py", "--data", "absent"),
    "`sweep status`": (*PROGRAM, "sweep", "status", "--out", "runs"),
    "`sweep retry`, with nothing to run": (*PROGRAM, "sweep", "retry", "--out", "runs"),
    "`sweep cancel`, with nothing running": (*PROGRAM, "sweep", "cancel", "--out", "runs"),
    "`scores`": (*PROGRAM, "scores", "--out", "runs"),
    "`report`, without analyses": (*PROGRAM, "report", "--out", "runs"),
    "`sweep --dry-run`": (*SWEEP, "--out", "new", "--dry-run"),
    "`sweep`, with nothing to run": (*SWEEP, "--out", "runs"),
    "imports of a driver on Ray": ("-c", "import orchestrator.execution.ray_executor"),
    "imports of the trial queue": ("-c", "import orchestrator.cluster.queue_actor"),
    "imports of a worker": ("-c", "import trainables.worker.runner"),
}


def main() -> None:
    """Measure each variant; print a table."""
    parser = argparse.ArgumentParser(description="CPU seconds and time of commands.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--ray-alone", action="store_true", help="measure the sweep on Ray alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environment = _prepare(Path(home))
        print(f"| command | CPU-s, best of {options.runs} | seconds |\n|---|---|---|")
        variants = {} if options.ray_alone else VARIANTS
        for name, arguments in variants.items():
            measured = [_measure(arguments, Path(home), environment) for _ in range(options.runs)]
            cpu, wall = map(min, zip(*measured, strict=True))
            print(f"| {name} | {cpu:.2f} | {wall:.2f} |", flush=True)
        _report_sweep_on_ray(options.runs, Path(home), environment)


def _report_sweep_on_ray(n_runs: int, home: Path, environment: dict[str, str]) -> None:
    """Print a row of a sweep of one trial on a local Ray, and the time until the trial began."""
    measured, until = [], []
    for number in range(n_runs):
        began, runs = time.time(), f"on-ray-{number}"
        measured.append(_measure((*SWEEP, "--out", runs), home, environment))
        [outcome] = read_outcomes(RunDirectory(home / runs))
        until.append(outcome.started - began)
    cpu, wall = map(min, zip(*measured, strict=True))
    print(f"| `sweep` of one small trial on Ray | {cpu:.2f} | {wall:.2f} |")
    print(f"\nThe trial on Ray began after {min(until):.2f} s (to {max(until):.2f}).")


def _prepare(home: Path) -> dict[str, str]:
    """Write data and a space, run it once, and return the environment of all commands."""
    write_shards(home / "data")
    (home / "space.py").write_text(SPACE, encoding="utf-8")
    write_weights(home / "weights.safetensors")
    environment = {
        **os.environ,
        "CORTEX_SWEEP_CACHE": str(home / "cache"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{home / 'mlflow.db'}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "OMP_NUM_THREADS": "1",
    }
    subprocess.run(
        [sys.executable, *SWEEP, "--out", "runs", "--local"],
        check=True,
        capture_output=True,
        cwd=home,
        env=environment,
    )
    return environment


def _measure(
    arguments: Sequence[str], home: Path, environment: dict[str, str]
) -> tuple[float, float]:
    """Run a process; return its CPU seconds and its time, whatever its exit code."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, check=False, capture_output=True, cwd=home, env=environment)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


if __name__ == "__main__":
    main()
