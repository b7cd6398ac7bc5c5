"""Measure the steps of a trial, and compare them with the machine's peak rates.

python -m benchmarks.trial [--size nsd] [--vertices 600,2500,5741] [--threads 2]
python -m benchmarks.trial --vertices 39548 --only "factorisation,ridge and r"

Each step runs on a part of its work (a thousand images, one fold of one layer …), three times
unless it is long, and the median is scaled to the whole by the number of operations; the part is
reported. The floor is a lower bound of the time: the operations at this machine's rate of matrix
products, or the bytes at its copy rate, whichever takes longer. ``--json FILE`` writes the figures
with a description of the machine.
"""

import argparse
import json
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.ceilings import Ceilings, measure_ceilings, timed
from benchmarks.machine import machine
from benchmarks.trial_steps import SIZES, Step, steps
from trainables.compute.device import device_name, use_threads

LONG_SECONDS = 20.0
"""A step that takes longer, in seconds, is run once."""


@dataclass(frozen=True)
class Measured:
    """Seconds of one step, scaled to the whole."""

    name: str
    seconds: float
    spread: tuple[float, float]
    floor: float
    share: float


def main() -> None:
    """Measure every step for each number of vertices, and print a table for each."""
    parser = argparse.ArgumentParser(description="Measure the steps of a trial.")
    parser.add_argument("--size", choices=SIZES, default="nsd")
    parser.add_argument("--vertices", default="600,2500,5741", help="vertices, comma-separated")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--only", metavar="STEPS", help="steps to run, comma-separated")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    only = options.only and options.only.split(",")
    use_threads(options.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ceilings = measure_ceilings(device)
    print(describe(ceilings, device, options.threads), flush=True)
    found = {}
    for n_vertices in map(int, options.vertices.split(",")):
        print(f"\nan ROI of {n_vertices:,} vertices, {SIZES[options.size]}\n")
        print(HEAD)
        with tempfile.TemporaryDirectory() as home:
            rows = []
            for step in steps(SIZES[options.size], n_vertices, device, Path(home)):
                if only and step.name not in only:
                    continue
                rows.append(measure(step, ceilings, device))
                print(row(rows[-1]), flush=True)
        print(row(total(rows)), flush=True)
        found[n_vertices] = [asdict(one) for one in rows]
    if options.json:
        content = {"machine": machine(device), "ceilings": asdict(ceilings), "steps": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


HEAD = "| step | seconds | from … to | floor | over the floor | run |\n|---|---|---|---|---|---|"


def describe(ceilings: Ceilings, device: torch.device, threads: int) -> str:
    """Format the machine's peak rates."""
    rates = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s {name}" for name, rate in ceilings.flops.items())
    where = f"{threads} threads" if device.type == "cpu" else device_name(device)
    return f"{where}: {rates}, {ceilings.memory / 1e9:.0f} GB/s of memory"


def measure(step: Step, ceilings: Ceilings, device: torch.device) -> Measured:
    """Run a part of a step, and scale it to the whole."""
    runs = [timed(step.run, device)]
    while len(runs) < 3 and max(runs) < LONG_SECONDS:
        runs.append(timed(step.run, device))
    whole = sorted(seconds / step.share for seconds in runs)
    floor = ceilings.floor(step.flops, step.precision, step.n_bytes)
    return Measured(step.name, statistics.median(whole), (whole[0], whole[-1]), floor, step.share)


def total(rows: list[Measured]) -> Measured:
    """Add up the steps."""
    least, most = (sum(one.spread[end] for one in rows) for end in (0, 1))
    seconds, floor = sum(one.seconds for one in rows), sum(one.floor for one in rows)
    return Measured("all", seconds, (least, most), floor, 1.0)


def row(one: Measured) -> str:
    """Format a step as a row of the table."""
    over = f"{one.seconds / one.floor:.1f}" if one.floor else ""
    return (
        f"| {one.name} | {one.seconds:,.1f} | {one.spread[0]:,.1f} … {one.spread[1]:,.1f} "
        f"| {one.floor:,.1f} | {over} | {one.share:.2%} |"
    )


if __name__ == "__main__":
    main()
