"""Compare scores after fine-tuning in bfloat16 and in float32, over seeds, for each ROI.

python -m benchmarks.precision --data demo/data --weights demo/weights.safetensors [--seeds 5]

It uses the demonstration's data, backbone and settings. Printed for each ROI: mean r of each
precision, the standard deviation over seeds in float32, the mean difference between precisions at
the same seed, and the time of an epoch.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import torch

from orchestrator.cli.environment import WORKER, set_environment
from orchestrator.sweep.spaces import expand
from search_spaces import demo
from trainables.compute.device import use_threads
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.models.weights_name import weights_name
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores, summarise
from trainables.spec import PRECISIONS, Precision, Trial
from trainables.worker.context import RunContext
from trainables.worker.progress import Silent
from trainables.worker.runner import TrialRunner


def main() -> None:
    """Fine-tune on each ROI with each seed in both precisions, and print the results."""
    parser = argparse.ArgumentParser(description="Compare fine-tuning in bfloat16 and in float32.")
    parser.add_argument("--data", type=lambda path: DataDirectory(Path(path)), default="demo/data")
    parser.add_argument("--weights", type=Path, default=Path("demo/weights.safetensors"))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    set_environment(WORKER)
    use_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[tuple[str, Precision], list[float]] = defaultdict(list)
    seconds: dict[Precision, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as runs:
        runner = TrialRunner(
            RunContext(DataDirectory(options.data), RunDirectory(Path(runs)), options.weights),
            device,
        )
        for planned in demo_trials(options.data, options.weights):
            for seed in range(options.seeds):
                for precision in PRECISIONS:
                    trial = replace(planned, seed=seed, precision=precision)
                    outcome = runner.run(trial, Silent())
                    summary = summarise(read_scores(RunDirectory(Path(runs)), trial.id))
                    found[trial.rois[0].name, precision].append(summary["nested_r_mean"])
                    seconds[precision] += [report.seconds for report in outcome.history]
            print(row(planned.rois[0].name, found), flush=True)
    a, b = (statistics.median(seconds[precision]) for precision in PRECISIONS)
    print(f"an epoch: {a:.2f} s in float32, {b:.2f} s in bfloat16, {a / b:.2f} times as fast")


def demo_trials(data: DataDirectory, weights: Path) -> list[Trial]:
    """List the demonstration's contrastive trials on its first subject."""
    trials = expand(demo.trials, list_rois(data), weights_name(weights))
    return [
        trial
        for trial in trials
        if trial.method == "contrastive" and trial.rois[0].subject == "subj01"
    ]


def row(roi_name: str, found: dict[tuple[str, Precision], list[float]]) -> str:
    """Format an ROI's mean r, the spread over seeds, and the differences at equal seeds."""
    full, half = (found[roi_name, precision] for precision in PRECISIONS)
    pairs = [b - a for a, b in zip(full, half, strict=True)]
    return (
        f"{roi_name}: r {statistics.mean(full):.4f} in float32 (± {statistics.stdev(full):.4f} "
        f"over seeds), {statistics.mean(half):.4f} in bfloat16; difference at equal seeds "
        f"{statistics.mean(pairs):+.4f} ± {statistics.stdev(pairs):.4f}"
    )


if __name__ == "__main__":
    main()
