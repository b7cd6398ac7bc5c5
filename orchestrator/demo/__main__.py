"""Run the demonstration: simulate, ingest, sweep, transfer, analyse, report.

python -m orchestrator.demo

The same as the commands that it prints, typed one after another in the same directory. In one
process libraries are imported once, and one local Ray serves the sweep and the probes.
"""

import importlib
import shlex
import sys
from typing import Final

from orchestrator.cli.arguments import DEMO
from orchestrator.cli.process import leave
from orchestrator.cli.values import default_experiment

RUNS: Final = ("--out", str(DEMO / "runs"))
DATA: Final = ("--data", str(DEMO / "data"))
WEIGHTS: Final = ("--weights", str(DEMO / "weights.safetensors"))
EXPERIMENT: Final = ("--experiment", default_experiment("nsd", is_simulated=True))
MODELS: Final = ("--methods", "contrastive", "--rois", "hV4")
COMMANDS: Final = (
    ("sweep",),
    ("evaluate", "transfer", *RUNS, *DATA, *MODELS, *EXPERIMENT, "--local"),
    ("analyze", *RUNS, *DATA, *WEIGHTS, *EXPERIMENT, "--saliency-layer", "features.10"),
    ("report", *RUNS),
)
"""Each command with its arguments, in order."""


def main() -> int:
    """Run the commands; return the exit code of the first that fails, or 0."""
    for name, *arguments in COMMANDS:
        sys.stdout.write(f"$ {shlex.join(('python', '-m', f'orchestrator.{name}', *arguments))}\n")
        sys.stdout.flush()
        command = importlib.import_module(f"orchestrator.{name}.__main__")
        code: int = command.main(arguments)
        if code:
            return code
    return 0


if __name__ == "__main__":
    leave(main())
