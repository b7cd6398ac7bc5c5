"""Measure the host's work around the steps on a GPU, and processes that share the device."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.ceilings import timed
from benchmarks.gpu_report import Report
from benchmarks.gpu_variants import SMALL, Size
from trainables.models import backbones
from trainables.models.finetuned import build_model
from trainables.models.weights_name import weights_name
from trainables.results.epoch_report import EpochReport
from trainables.spec import Backbone, Contrastive
from trainables.storage.atomic import hash_file
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoints import Checkpoints
from trainables.training.saved_state import flatten_optimizer


def host(report: Report, device: torch.device, small: bool) -> None:
    """Measure the host's work: loading a backbone, building a model, saving and loading it."""
    size = SMALL if small else Size()
    cpu = torch.device("cpu")
    report.measure("build a backbone", lambda: backbones.build(size.backbone), cpu)
    network = backbones.build(size.backbone)
    with tempfile.TemporaryDirectory() as home:
        file = Path(home) / "weights.pt"
        torch.save(network.state_dict(), file)
        backbone = Backbone(size.backbone, weights_name(file))
        report.measure("load a backbone", lambda: backbones.load(backbone, file), cpu)
    report.measure(
        "build a model",
        lambda: build_model(Contrastive(), network, size.image_size, size.vertices[:1], 0),
        cpu,
    )
    model = build_model(Contrastive(), network, size.image_size, size.vertices[:1], 0).to(device)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    history = (EpochReport(1, 1.0, 1.0, 1.0),)
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "checkpoint"
        saver = Checkpoints(StoredDirectory(folder))
        report.measure("save a checkpoint", lambda: saver.save(history, model, optimizer), device)
        files = [one for one in folder.iterdir() if one.suffix == ".safetensors"]
        n_bytes = sum(one.stat().st_size for one in files)
        report.measure("hash a checkpoint", lambda: [hash_file(f) for f in files], cpu)
        report.measure("load a checkpoint", lambda: saver.load(device), device, bytes=n_bytes)
    state = {**model.state_dict(), **flatten_optimizer(optimizer)}
    report.measure("state to the host", lambda: [v.cpu() for v in state.values()], device)
    clone = timed(lambda: [v.clone() for v in state.values()], device)
    report.add("state cloned on the device", seconds=clone)


def sharing(report: Report, device: torch.device, small: bool) -> None:
    """Measure several trials on one GPU, with and without MPS (multi-process service)."""
    size = SMALL if small else Size()
    counts = "1,2" if small else "1,2,4,8"
    command = [
        sys.executable, "-m", "benchmarks.gpu_sharing", "--trials", counts,
        "--backbone", size.backbone,
        "--image-size", str(size.image_size), "--batch-size", str(min(256, size.batch_size)),
        "--repeats", "1", "--threads", str(torch.get_num_threads()),
    ]  # fmt: skip
    _shared(report, "time slices", command, dict(os.environ))
    control = shutil.which("nvidia-cuda-mps-control")
    if device.type != "cuda" or control is None:
        report.add("multi-process service", skipped="nvidia-cuda-mps-control is not installed")
        return
    with tempfile.TemporaryDirectory() as pipes:
        service = {"CUDA_MPS_PIPE_DIRECTORY": pipes, "CUDA_MPS_LOG_DIRECTORY": pipes}
        env = {**os.environ, **service}
        subprocess.run([control, "-d"], env=env, check=True, timeout=30)
        try:
            _shared(report, "multi-process service", command, env)
        finally:
            subprocess.run([control], input=b"quit\n", env=env, check=False, timeout=30)


def _shared(report: Report, name: str, command: list[str], env: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "gpu_sharing.json"
        done = subprocess.run(
            [*command, "--json", str(path)],
            env=env, capture_output=True, text=True, encoding="utf-8", check=False, timeout=150,
        )  # fmt: skip
        if done.returncode:
            report.add(name, error=done.stderr[-300:])
            return
        report.add(name, **json.loads(path.read_text(encoding="utf-8"))["rates"])
