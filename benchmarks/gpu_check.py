"""Check the GPU path on a bare machine and measure it at NSD's size, in at most eight minutes.

python -m benchmarks.gpu_check [--json FILE] [--only SECTIONS] [--small]

It needs PyTorch, torchvision, pyarrow, pandas, SciPy, scikit-learn, safetensors and pydantic, and
for the marked tests pytest, hypothesis and himalaya; no Ray, no MLflow, no data. Sections are
independent: an error in one is recorded, and the next one starts. The JSON file is written after
each measurement, so that nothing is lost if the machine is withdrawn. ``--small`` runs a problem of
a minute on a CPU.
"""

import argparse
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from benchmarks import gpu_agreement, gpu_host, gpu_scoring, gpu_steps
from benchmarks.gpu_report import Report
from orchestrator.cli.environment import WORKER, set_environment
from trainables.compute.device import use_threads

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
    for section in names:
        if section not in options.skip.split(",") and report.has_time(section):
            _run(section, report, device, options.small)


def _run(name: str, report: Report, device: torch.device, small: bool) -> None:
    started = time.perf_counter()
    report.section = name
    try:
        SECTIONS[name](report, device, small)
    except Exception as error:  # recorded, so that the next section still runs
        traceback.print_exc()
        report.add("error", error=f"{type(error).__name__}: {str(error)[:300]}")
    if device.type == "cuda":
        torch.cuda.empty_cache()
    report.add("section", seconds=time.perf_counter() - started)


if __name__ == "__main__":
    main()
