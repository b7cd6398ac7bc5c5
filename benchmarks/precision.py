"""Compare scores after fine-tuning in TF32, in bfloat16 and in float32, over seeds, for each ROI.

python -m benchmarks.precision --data demo/data --weights demo/weights.safetensors [--seeds 5]
    [--formats TF32]

It uses the demonstration's data, backbone and settings. On a CPU, TF32 is emulated
(``benchmarks/tf32.py``). Printed for each ROI and format: mean r, its standard deviation over
seeds, and the difference from float32 at the same seed with its 95 % t interval over seeds; then
the time of an epoch (of the emulation, where it is one), and how many times as fast as float32.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from scipy.stats import t as student

from benchmarks.number_formats import NumberFormat, number_formats
from benchmarks.tf32 import EmulatedTF32
from orchestrator.cli.environment import WORKER, set_environment
from orchestrator.sweep.spaces import expand
from search_spaces import demo
from trainables.compute.device import use_threads
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.models.weights_name import weights_name
from trainables.results.epoch_report import EpochReport
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_scores, summarise
from trainables.spec import Encoding, Trial
from trainables.spec.evaluation import WorkItem
from trainables.worker.context import RunContext
from trainables.worker.progress import Silent
from trainables.worker.runner import TrialRunner

NESTED: Final = Encoding(protocols=("nested",))


def main() -> None:
    """Fine-tune on each ROI with each seed in all formats, and print the results."""
    parser = argparse.ArgumentParser(description="Compare number formats of fine-tuning.")
    parser.add_argument("--data", type=lambda path: DataDirectory(Path(path)), default="demo/data")
    parser.add_argument("--weights", type=Path, default=Path("demo/weights.safetensors"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--formats", help="compared with float32: TF32,bfloat16,bfloat16+TF32")
    options = parser.parse_args()
    set_environment(WORKER)
    use_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    reference, *others = number_formats(device)
    names = options.formats.split(",") if options.formats else [one.name for one in others]
    if unknown := set(names) - {one.name for one in others}:
        parser.error(f"unknown formats: {sorted(unknown)}; known: {[one.name for one in others]}")
    chosen = [reference, *(one for one in others if one.name in names)]
    with tempfile.TemporaryDirectory() as home:
        runs = [_Runs(one, options.data, options.weights, Path(home), device) for one in chosen]
        for trial in demo_trials(options.data, options.weights):
            found: dict[str, list[float]] = {one.name: [] for one in chosen}
            for seed in range(options.seeds):
                for format_, run in zip(chosen, runs, strict=True):
                    found[format_.name].append(run.mean_r(replace(trial, seed=seed)))
            for line in lines(trial.rois[0].name, found):
                print(line, flush=True)
    of_float32 = statistics.median(runs[0].seconds)
    kind = "seconds" if device.type == "cuda" else "CPU seconds"
    for format_, run in zip(chosen, runs, strict=True):
        seconds = statistics.median(run.seconds)
        print(f"an epoch in {format_.name}: {seconds:.2f} {kind}, ratio {of_float32 / seconds:.2f}")


def demo_trials(data: DataDirectory, weights: Path) -> list[Trial]:
    """List the demonstration's contrastive trials on its first subject, one for each ROI."""
    trials = expand(demo.trials, list_rois(data), weights_name(weights))
    return [
        replace(trial, encoding=NESTED)
        for trial in trials
        if trial.method == "contrastive" and trial.rois[0].subject == "subj01" and trial.seed == 0
    ]


def lines(roi: str, found: dict[str, list[float]]) -> Iterator[str]:
    """Format an ROI's mean r in each format, and its differences from the first at equal seeds."""
    (reference, base), *others = found.items()
    yield f"{roi}: {reference} r {_spread(base)} over seeds"
    for name, values in others:
        pairs = [b - a for a, b in zip(base, values, strict=True)]
        low, high = t_interval(pairs)
        yield (
            f"{roi}: {name} r {_spread(values)}; difference at equal seeds "
            f"{statistics.mean(pairs):+.4f} ({low:+.4f} to {high:+.4f}), "
            f"of one seed ± {statistics.stdev(pairs):.4f}"
        )


def t_interval(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of a mean by Student's t."""
    error = statistics.stdev(values) / len(values) ** 0.5
    reach = float(student.ppf(0.975, len(values) - 1)) * error
    mean = statistics.mean(values)
    return mean - reach, mean + reach


class _Runs(Silent):
    """Trials in one format, in a directory of their own, and the seconds of their epochs."""

    def __init__(
        self,
        format_: NumberFormat,
        data: DataDirectory,
        weights: Path,
        home: Path,
        device: torch.device,
    ) -> None:
        self._format = format_
        self._directory = RunDirectory(home / format_.name)
        self._runner = TrialRunner(RunContext(data, self._directory, weights), device)
        self._now = time.perf_counter if device.type == "cuda" else time.process_time
        self._start = 0.0
        self.seconds: list[float] = []

    def mean_r(self, trial: Trial) -> float:
        """Fine-tune in this format, and return the mean r of ``nested``."""
        trial = self._format.ask(trial)
        with self._format.emulation() as emulation:
            self._runner.run(trial, self)
        if isinstance(emulation, EmulatedTF32) and not emulation.n_rounded:
            raise RuntimeError("no product was rounded: fine-tuning did not ask for TF32")
        return float(summarise(read_scores(self._directory, trial.id))["nested_r_mean"])

    def stage(self, name: str) -> None:
        """Begin to time the first epoch."""
        self._start = self._now()

    def epoch(self, report: EpochReport) -> bool:
        """Take an epoch's time; the training continues."""
        now = self._now()
        self.seconds.append(now - self._start)
        self._start = now
        return True

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        """Know of none."""
        return None


def _spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


if __name__ == "__main__":
    main()
