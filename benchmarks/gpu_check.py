"""Check the GPU path on a bare machine and measure it at NSD's size, in at most eight minutes.

python -m benchmarks.gpu_check [--json FILE] [--only SECTIONS] [--small]

It needs PyTorch, torchvision, pyarrow, pandas, SciPy, scikit-learn, safetensors and pydantic, and
for the marked tests pytest, hypothesis and himalaya; no Ray, no MLflow, no data. Sections are
independent: an error in one is recorded, and the next one starts. The JSON file is written after
each measurement, so that nothing is lost if the machine is withdrawn. ``--small`` runs a problem of
a minute on a CPU. If a kernel's fault makes the GPU unusable for this process, the sections after
it run in a new one, which writes a JSON file beside the first.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch

from benchmarks import gpu_agreement, gpu_host, gpu_paths, gpu_scoring, gpu_steps
from benchmarks.gpu_report import Report
from orchestrator.cli.environment import WORKER, set_environment
from trainables.compute.device import use_threads
from trainables.compute.failures import is_device_lost

Section = Callable[[Report, torch.device, bool], None]
SECTIONS: Final[dict[str, Section]] = {
    "ceilings": gpu_steps.ceilings,
    "agreement": gpu_agreement.agreement,
    "tests": gpu_agreement.gpu_tests,
    "latencies": gpu_steps.latencies,
    "training": gpu_steps.training,
    "scoring": gpu_steps.scoring,
    "encoding": gpu_scoring.encoding,
    "gram": gpu_steps.gram_in_float32,
    "components": gpu_steps.components,
    "host": gpu_host.host,
    "deterministic": gpu_agreement.deterministic,
    "tf32": gpu_agreement.tf32,
    "precision": gpu_agreement.precision,
    "finetuning": gpu_agreement.finetuning,
    "paths": gpu_paths.paths,
    "scored": gpu_agreement.scored,
    "sharing": gpu_host.sharing,
}
SECONDS: Final = 480.0


def main() -> None:
    """Run every section, print each figure as it is measured, and write them."""
    parser = argparse.ArgumentParser(description="Check and measure the GPU path.")
    parser.add_argument("--small", action="store_true", help="a problem small enough for a CPU")
    parser.add_argument("--only", metavar="SECTIONS", help=f"comma-separated: {','.join(SECTIONS)}")
    parser.add_argument("--skip", metavar="SECTIONS", default="", help="comma-separated")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="start no section after")
    parser.add_argument("--json", type=Path, metavar="FILE", default=Path("gpu-check.json"))
    options = parser.parse_args()
    set_environment(WORKER)
    has_gpu = torch.cuda.is_available()
    if not has_gpu and not options.small:
        parser.error("there is no GPU; --small runs a small problem on the CPU")
    device = torch.device("cuda" if has_gpu else "cpu")
    use_threads(torch.get_num_threads())
    report = Report(options.json, options.seconds)
    name = torch.cuda.get_device_name() if has_gpu else "CPU"
    report.add("machine", device=name, torch=torch.__version__, threads=torch.get_num_threads())
    names = options.only.split(",") if options.only else list(SECTIONS)
    names = [one for one in names if one not in options.skip.split(",")]
    for place, section in enumerate(names):
        if not report.has_time(section):
            continue
        _run(section, report, device, options.small)
        if is_device_lost():
            _go_on(names[place + 1 :], report, options)
            return


def _run(name: str, report: Report, device: torch.device, small: bool) -> None:
    started = time.perf_counter()
    report.section = name
    report.attempt("error", partial(SECTIONS[name], report, device, small))
    report.add("section", seconds=time.perf_counter() - started)
    if device.type == "cuda" and not is_device_lost():
        torch.cuda.empty_cache()


def _go_on(names: list[str], report: Report, options: argparse.Namespace) -> None:
    """Run further sections in a new process, since this one can't use the GPU any more."""
    report.add("device lost", left=names)
    if not names:
        return
    path = options.json.with_stem(f"{options.json.stem}-after-{report.section}")
    command = [
        sys.executable, "-m", "benchmarks.gpu_check", "--only", ",".join(names),
        "--json", str(path), "--seconds", str(max(0.0, report.seconds_left)),
        *["--small"] * options.small,
    ]  # fmt: skip
    subprocess.run(command, check=False)


if __name__ == "__main__":
    main()
