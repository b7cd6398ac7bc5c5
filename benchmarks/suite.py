"""Measure the main performance ratios within minutes, and compare them with a baseline.

python -m benchmarks.suite [--json FILE] [--baseline benchmarks/baseline.json]

Each claim is the ratio between this package and an alternative within one run, which depends little
on the machine and its load. With ``--baseline`` the command fails if a claim's best run is below
70 % of the worst run in the baseline.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from benchmarks import finetune, reading, ridge
from benchmarks.machine import machine
from benchmarks.small_shards import write_shards
from orchestrator.cluster.connection import connect
from trainables.compute.device import use_threads

FALLEN: Final = 0.7
"""Fraction of the baseline's worst run below which a claim counts as fallen."""
REPEATS: Final = 3


def finetuning_against_a_bare_loop() -> list[float]:
    """Compare images per second of the real path and of a plain PyTorch loop."""
    problem = finetune.make_problem("narrow-alexnet", 768, 64, 200, 128)
    bare, real = finetune.rates(problem, REPEATS)
    return [ours / theirs for ours, theirs in zip(real, bare, strict=True)]


def ridge_against_himalaya() -> list[float]:
    """Compare ridge at nine alphas on the same principal scores."""
    return ridge.ratios(1000, 1000, REPEATS)


def reading_against_pyarrow() -> list[float]:
    """Compare Ray Data's rate with that of pyarrow in one process."""
    with tempfile.TemporaryDirectory() as home:
        write_shards(Path(home), n_images=4000, image_size=224)
        times = reading.measure(Path(home) / "nsd-subj01", REPEATS)
    pairs = zip(times["plain pyarrow"], times["Ray Data"], strict=True)
    return [plain / ours for plain, ours in pairs]


CLAIMS: Final[tuple[Callable[[], list[float]], ...]] = (
    finetuning_against_a_bare_loop,
    ridge_against_himalaya,
    reading_against_pyarrow,
)


def main() -> int:
    """Measure, print and write every claim; return 1 if one has fallen."""
    parser = argparse.ArgumentParser(description="Measure performance ratios and compare them.")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--baseline", type=Path, metavar="FILE")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    if options.baseline and not options.baseline.is_file():
        parser.error(f"{options.baseline}: no such file; write one with --json")
    use_threads(options.threads)
    connect()
    found: dict[str, list[float]] = {}
    for claim in CLAIMS:
        name = claim.__name__.replace("_", " ")
        found[name] = sorted(claim())
        middle = statistics.median(found[name])
        print(f"{name}: {middle:.2f} ({found[name][0]:.2f} to {found[name][-1]:.2f})", flush=True)
    if options.json:
        content = {"machine": machine(torch.device("cpu")), "claims": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return fallen(found, options.baseline) if options.baseline else 0


def fallen(found: dict[str, list[float]], baseline: Path) -> int:
    """Print which claims have fallen below a baseline; return 1 if any has."""
    known: dict[str, list[float]] = json.loads(baseline.read_text(encoding="utf-8"))["claims"]
    lost = [name for name, runs in found.items() if max(runs) < FALLEN * min(known[name])]
    for name in lost:
        print(f"fallen: {name}: {max(found[name]):.2f} at best, {min(known[name]):.2f} before")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
