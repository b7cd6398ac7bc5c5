"""A small sweep on a simulated subject, made once and read by every notebook of the gallery."""

import subprocess
import sys
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save_file

from trainables.models.backbones import build

HERE: Final = Path(__file__).parents[1] / "_build" / "gallery"
DATA, RUNS, WEIGHTS = HERE / "data", HERE / "runs", HERE / "weights.safetensors"
SPACE: Final = Path(__file__).with_name("small_space.py")


def make() -> tuple[Path, Path]:
    """Simulate, ingest and sweep if that has not been done; return the data and the runs."""
    if not (DATA / "nsd-subj01" / "manifest.json").exists():
        simulated = HERE / "simulated"
        if not simulated.exists():
            _run("ingest simulate", "--out", simulated, "--subjects", "1", "--n-images", "300")
        size = ("--image-size", "64", "--cpus", "1")
        _run("ingest algonauts", simulated, "--out", DATA, *size)
    if not WEIGHTS.exists():
        torch.manual_seed(0)
        save_file(build("narrow-alexnet").state_dict(), WEIGHTS)
    chosen = ("--hemispheres", "lh", "--rois", "V1v,hV4", "--local")
    _run("sweep", SPACE, "--data", DATA, "--out", RUNS, "--weights", WEIGHTS, *chosen)
    return DATA, RUNS


def _run(command: str, *arguments: object) -> None:
    words = [f"orchestrator.{command.split()[0]}", *command.split()[1:], *map(str, arguments)]
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=HERE.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}:\n{done.stdout}\n{done.stderr}")
