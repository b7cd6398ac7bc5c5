"""Check that a GPU agrees with a CPU: the marked tests, scores of trials, repeated trials."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear

from benchmarks.gpu_lab import Lab, made_lab
from benchmarks.gpu_report import Report
from benchmarks.number_formats import number_formats
from benchmarks.tf32 import EmulatedTF32, round_to_tf32, truncate_to_tf32
from orchestrator.execution.cost import Costs
from trainables.compute.numerics import FAST
from trainables.compute.precision import torch_set_for_training
from trainables.data.data_directory import DataDirectory
from trainables.spec import Contrastive, Encoding, Regression, Trial, Untuned

AGREEMENT: Final = 1e-4
"""Largest accepted difference in r of an untuned backbone between GPU and CPU."""


def agreement(report: Report, device: torch.device, small: bool) -> None:
    """Compare r of an untuned and of a fine-tuned backbone between CPU and GPU."""
    with made_lab(small, 600) as lab:
        objective = Contrastive(batch_size=32 if small else 256, epochs=2)
        for name, chosen in (("untuned", Untuned()), ("contrastive", objective)):
            trial = lab.trial(chosen)
            r, _ = lab.run(trial, f"{name}-device", device)
            expected, _ = lab.run(trial, f"{name}-cpu", torch.device("cpu"))
            off = np.abs(r - expected)
            is_nan_alike = bool((np.isnan(r) == np.isnan(expected)).all())
            largest = float(np.nanmax(off))
            report.add(
                name, largest=largest, mean=float(np.nanmean(off)), n=len(r), nan=is_nan_alike
            )
            if name == "untuned" and not (largest <= AGREEMENT and is_nan_alike):
                report.add("untuned: FAILED", bound=AGREEMENT)


def deterministic(report: Report, device: torch.device, small: bool) -> None:
    """Run a deterministic trial twice, compare the scores bit for bit, and time it."""
    with made_lab(small, 600) as lab:
        objective = Contrastive(batch_size=32 if small else 256, epochs=2)
        trial = lab.trial(objective).as_deterministic()
        (one, _), (two, _) = (lab.run(trial, name, device) for name in ("one", "two"))
        report.add("twice", equal=bool(np.array_equal(one, two, equal_nan=True)), n=len(one))


def precision(report: Report, device: torch.device, small: bool) -> None:
    """Compare mean r of ``nested`` after fine-tuning in each number format, over seeds."""
    with made_lab(small, 1500) as lab:
        objective = Contrastive(batch_size=32 if small else 256, epochs=2 if small else 10)
        planned = replace(lab.trial(objective), encoding=Encoding(protocols=("nested",)))
        for one in number_formats(device):
            trials = [one.ask(replace(planned, seed=seed)) for seed in range(5)]
            with one.emulation():
                means = [float(np.nanmean(lab.run(each, one.name, device)[0])) for each in trials]
            report.add(one.name, mean_r=means, spread=float(np.std(means, ddof=1)))


def tf32(report: Report, device: torch.device, small: bool) -> None:
    """Compare products in TF32, and their gradients, with those of rounded factors in float64.

    That a GPU's agree with those rounded to the nearest is what the emulation of TF32 assumes. On
    a CPU the emulation is compared itself.
    """
    n, side = (2, 9) if small else (32, 27)
    steps: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], tuple[int, ...], tuple[int, ...]]]
    steps = {
        "product": (linear, (8 * n, 4096), (16 * n, 4096)),
        "convolution": (partial(conv2d, padding=2), (n, 64, side, side), (192, 64, 5, 5)),
    }
    roundings = {
        "nearest": round_to_tf32,
        "truncated": truncate_to_tf32,
        "float32": Tensor.detach,
    }
    for name, (step, *shapes) in steps.items():
        factors = [torch.randn(shape, device=device) for shape in shapes]
        gradient = torch.randn_like(step(*factors))
        emulation = EmulatedTF32() if device.type == "cpu" else nullcontext()
        with emulation, torch_set_for_training(FAST):
            found = _with_gradients(step, factors, gradient)
        off = {}
        for rounding, rounded in roundings.items():
            exact = [rounded(one).double() for one in (*factors, gradient)]
            expected = _with_gradients(step, exact[:2], exact[2])
            off[rounding] = max(
                float((a - b).abs().max() / b.abs().max())
                for a, b in zip(found, expected, strict=True)
            )
        report.add(name, **off)


def _with_gradients(
    step: Callable[[Tensor, Tensor], Tensor], factors: Sequence[Tensor], gradient: Tensor
) -> list[Tensor]:
    """Return a product of two factors, and the gradients of both."""
    leaves = [one.detach().clone().requires_grad_() for one in factors]
    y = step(leaves[0], leaves[1])
    return [y.detach(), *torch.autograd.grad(y, leaves, gradient)]


def finetuning(report: Report, device: torch.device, small: bool) -> None:
    """Fine-tune as a trial does with NSD's number of images: images per second, peak memory."""
    with made_lab(small, 9841) as lab:
        objective = Contrastive(batch_size=32 if small else 1024, epochs=3)
        for precision in ("float32", "bfloat16"):
            trial = replace(lab.trial(objective, precision=precision), encoding=None)
            name = f"contrastive, {precision}"
            report.attempt(name, partial(_measure_trial, report, lab, device, trial, name))


def scored(report: Report, device: torch.device, small: bool) -> None:
    """Run whole trials with NSD's number of images: seconds of each step, peak memory."""
    with made_lab(small, 9841) as lab:
        regression = Regression(epochs=1, batch_size=32 if small else 1024)
        for trial in (lab.trial(Untuned()), lab.trial(regression)):
            name = f"{trial.objective.method} and its scores"
            if report.seconds_left > 0:
                _measure_trial(report, lab, device, trial, name)


def _measure_trial(report: Report, lab: Lab, device: torch.device, trial: Trial, name: str) -> None:
    costs = Costs.read(DataDirectory(lab.home / "data"), gpus=device.type == "cuda")
    estimate = costs.estimate(trial)
    _track(device)
    _, outcome = lab.run(trial, name, device)
    rates = [epoch.images_per_second for epoch in outcome.history]
    peak = _peak(estimate.bytes, device)
    report.add(name, images_per_second=rates, **peak, **outcome.seconds)


def _track(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(estimated: int, device: torch.device) -> dict[str, float]:
    if device.type != "cuda":
        return {"estimated_gb": estimated / 1e9}
    return {
        "estimated_gb": estimated / 1e9,
        "allocated_gb": torch.cuda.max_memory_allocated() / 1e9,
        "reserved_gb": torch.cuda.max_memory_reserved() / 1e9,
    }


GPU_TESTS: Final = (
    "tests/trainables/compute/test_truncated_eigh.py",
    "tests/trainables/encoding/test_ridge.py",
    "tests/trainables/training/test_microbatches.py",
    "tests/trainables/encoding/test_chosen_predictions.py",
    "tests/trainables/encoding/test_protocols.py",
)


def gpu_tests(report: Report, device: torch.device, small: bool) -> None:
    """Run the tests with the mark ``gpu``."""
    command = [
        sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider",
        "--continue-on-collection-errors",  # where a package is missing, other files still run
        *GPU_TESTS,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=150, encoding="utf-8"
    )
    print(done.stdout[-3000:], done.stderr[-1500:])
    report.add("pytest", exit=done.returncode, last=done.stdout.strip().splitlines()[-1:])
