"""A description of the machine for benchmark results."""

import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any, Final

import torch

from trainables.compute.device import device_name

PACKAGES: Final = ("torch", "numpy", "scipy", "scikit-learn", "pyarrow", "ray", "mlflow")


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine and the libraries that a benchmark uses."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
