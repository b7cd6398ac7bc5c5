"""Replay sweeps with the estimate of the time left: its ratio to the truth at each trial's end.

python -m benchmarks.remaining_time [RUNS …]

Without a run directory, two recorded sweeps are replayed: the demonstration, and controls on one of
its subjects, both with two workers, on a machine with other load. A run directory is replayed from
its trials' outcomes and the estimates of its last command. Target: within a factor of 1.5 from the
second trial on, but for the end, when single trials are left.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from orchestrator.execution.remaining_time import RemainingTime
from orchestrator.execution.run_record import Command
from trainables.results.outcome import read_outcomes
from trainables.results.run_directory import RunDirectory

Recorded = tuple[float, float, float]
"""Start and end of a trial, in seconds since the first start, and its estimated seconds."""

DEMONSTRATION: Final[tuple[Recorded, ...]] = (
    (0.0, 70.4, 14.33),  # pooled
    (1.2, 32.5, 8.47),  # contrastive, as those below
    (32.8, 77.3, 8.47),
    (70.9, 111.7, 8.62),
    (77.5, 114.3, 8.42),
    (111.8, 148.6, 8.62),
    (114.5, 145.9, 8.42),
    (146.0, 175.1, 8.54),
    (148.7, 180.8, 8.42),
    (175.3, 209.2, 8.54),
    (181.0, 220.5, 8.42),
    (209.4, 254.1, 8.54),
    (220.6, 259.5, 7.14),  # regression
    (254.5, 306.2, 8.54),
    (259.7, 305.3, 7.10),  # regression, as those below
    (305.6, 347.7, 7.27),
    (306.5, 342.2, 7.20),
    (342.5, 354.6, 2.04),  # untuned
    (347.9, 355.8, 1.97),
)
CONTROLS: Final[tuple[Recorded, ...]] = (
    (0.0, 57.0, 13.53),  # SimCLR
    (1.0, 33.8, 8.53),
    (34.0, 68.5, 8.47),
    (57.4, 68.5, 1.98),  # of a training of the demonstration, as the other short one
    (68.8, 108.2, 8.45),
    (68.9, 107.9, 8.45),
    (108.1, 119.4, 1.98),
    (108.3, 133.7, 8.42),
)
RECORDED: Final = {"the demonstration": DEMONSTRATION, "controls": CONTROLS}


def main() -> None:
    """Print the ratios of recorded sweeps, or of those in run directories."""
    parser = argparse.ArgumentParser(description="Estimates of the time left, and the truth.")
    parser.add_argument("runs", type=Path, nargs="*")
    options = parser.parse_args()
    sweeps = {str(path): recorded(RunDirectory(path)) for path in options.runs} or RECORDED
    print("| sweep | trials ended | seconds left | estimate | ratio |\n|---|---|---|---|---|")
    for name, sequence in sweeps.items():
        for n_ended, left, estimate in replay(sequence):
            if estimate is not None:
                ratio = f"{estimate / left:.2f}"
                print(f"| {name} | {n_ended} | {left:.0f} | {estimate:.0f} | {ratio} |")


def recorded(runs: RunDirectory) -> list[Recorded]:
    """Read the trials of the last command on a directory, in the order of their starts."""
    costs = Command.read(runs).costs
    ended = [
        one for one in read_outcomes(runs) if one.status == "finished" and one.trial.id in costs
    ]
    ended.sort(key=lambda one: one.started)
    return [
        (
            one.started - ended[0].started,
            one.started - ended[0].started + sum(one.seconds.values()),
            costs[one.trial.id],
        )
        for one in ended
    ]


def replay(
    sequence: Sequence[Recorded], *, step: float = 1.0
) -> Iterator[tuple[int, float, float | None]]:
    """Yield (trials ended, seconds left in truth, estimate) at each end, observed every step."""
    costs = {str(number): cost for number, (_, _, cost) in enumerate(sequence)}
    estimator, last = RemainingTime(costs), max(end for _, end, _ in sequence)
    ends = sorted((end, str(number)) for number, (_, end, _) in enumerate(sequence))
    observed = 0.0
    for n_ended, (now, trial_id) in enumerate(ends, start=1):
        while observed < now:
            running = [
                str(number) for number, (a, b, _) in enumerate(sequence) if a <= observed < b
            ]
            estimator.observe(running, observed)
            observed += step
        estimator.finish(trial_id, now)
        yield n_ended, last - now, estimator.seconds_left(now)


if __name__ == "__main__":
    main()
