"""Time and memory of the tables of scores, at the size of NSD.

python -m benchmarks.score_tables [--subjects 8] [--repeats 3]

Made-up scores of five methods under two protocols on 39 ROIs of each subject, some 39,000 vertices
(overlapping ROIs counted twice). Each measurement is a process of its own.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import write_programme
from trainables.results.run_directory import RunDirectory

COMMANDS = {
    "scores": ("orchestrator.scores", "--by", "group"),
    "scores --compare": ("orchestrator.scores", "--compare"),
    "analyze improvement": ("orchestrator.analyze", "improvement"),
}
MEASURED = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""
"""Run a command in a small process: a command counts the memory of the process that starts it."""
LARGEST = 1960
"""No ROI has more vertices: 1,000 on average, 39,000 of a subject."""


def main() -> None:
    """Write made-up scores, then run each command several times and print its costs."""
    parser = argparse.ArgumentParser(description="Measure the tables of scores.")
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        runs = RunDirectory(Path(home) / "runs")
        write_programme(runs, options.subjects, largest=LARGEST)
        for name, (module, *arguments) in COMMANDS.items():
            costs = []
            for _ in range(options.repeats):
                runs.remove(runs.analysis_file("improvement"))
                costs.append(measure(module, (*arguments, "--out", str(runs))))
            cpu, wall, peak = zip(*costs, strict=True)
            print(
                f"{name:20} CPU {spread(cpu)} s, wall {spread(wall)} s, memory {max(peak):.0f} MB"
            )


def measure(module: str, arguments: tuple[str, ...]) -> tuple[float, float, float]:
    """Run a command; return its CPU seconds, wall seconds and peak memory in MB."""
    start = time.perf_counter()
    command = [sys.executable, "-c", MEASURED, sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    cpu, peak = map(float, done.stdout.split())
    return cpu, time.perf_counter() - start, peak / 1024


def spread(values: tuple[float, ...]) -> str:
    """Format the median with the smallest and the largest value."""
    return f"{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


if __name__ == "__main__":
    main()
