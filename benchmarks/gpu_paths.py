"""Check the paths of a trial that a GPU with fast float64 and enough memory does not take."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any, Final
from unittest import mock

import numpy as np
import torch
from torch import nn
from torchvision.models import VisionTransformer

from benchmarks.gpu_lab import Heard, Lab, made_lab
from benchmarks.gpu_report import Report
from trainables.models import backbones
from trainables.results.epoch_report import EpochReport
from trainables.spec import Contrastive, Encoding, Trial, Untuned

EPOCHS: Final = 3
FEATURES: Final = 2**26
"""Bytes of features that are kept on the device, where few are to be."""
SHARES: Final = (0.8, 0.65, 0.5)
"""Shares of a trial's peak memory that it is given, until it has to be tried again."""
BREAK: Final = """
import torch
from trainables.compute.failures import failure_of
try:
    torch.zeros(2, device="cuda")[torch.tensor([5], device="cuda")].sum().item()
except Exception as error:
    print(failure_of(error).kind)
"""


class _Interrupted(Heard):
    """A listener that fails in the second epoch."""

    def epoch(self, report: EpochReport) -> bool:
        """Fail in the second epoch."""
        if report.epoch == 2:
            raise RuntimeError("interrupted by the check")
        return super().epoch(report)


@dataclass(frozen=True)
class _Bench:
    """A lab, and the device and report of the check."""

    report: Report
    device: torch.device
    lab: Lab
    small: bool

    def trial(self, tune: str = "all", **changes: Any) -> Trial:
        batch_size = 32 if self.small else 256
        return self.lab.trial(
            Contrastive(batch_size=batch_size, epochs=EPOCHS, tune=tune), **changes
        )

    def run(
        self, trial: Trial, name: str, heard: Heard | None = None, **options: Any
    ) -> np.ndarray:
        return self.lab.run(trial, name, self.device, heard, **options)[0]

    def compare(self, name: str, expected: np.ndarray, found: np.ndarray, **more: Any) -> None:
        off = np.abs(found - expected)
        equal = bool(np.array_equal(found, expected, equal_nan=True))
        largest, mean = float(np.nanmax(off)), float(np.nanmean(off))
        self.report.add(name, equal=equal, largest=largest, mean=mean, **more)


def paths(report: Report, device: torch.device, small: bool) -> None:
    """Run trials on each path, and compare their scores with those of a plain trial."""
    with made_lab(small, 600) as lab:
        bench = _Bench(report, device, lab, small)
        for name, check in CHECKS.items():
            if report.seconds_left <= 0:
                report.add(name, skipped="no time is left")
                continue
            started = time.perf_counter()
            report.attempt(name, partial(check, bench))
            report.add(f"{name}: time", seconds=time.perf_counter() - started)
    with _small_transformers(), made_lab(True, backbone="small-vit") as lab:
        report.attempt("transformer", partial(_transformer, _Bench(report, device, lab, True)))


def _streamed(bench: _Bench) -> None:
    """Stream images, compute features in passes, and save each epoch in the background."""
    trial = bench.trial()
    expected = bench.run(trial, "plain", keep="every")
    bench.compare("plain, again", expected, bench.run(trial, "again", keep="every"))
    found = bench.run(trial, "streamed", image_budget=0, keep="every")
    bench.compare("images streamed", expected, found)
    found = bench.run(trial, "passes", feature_budget=FEATURES)
    bench.compare("features in passes", expected, found)


def _rescored(bench: _Bench) -> None:
    """Score the saved weights of a training again, with adapters too."""
    for tune in ("all", "lora:4"):
        if tune != "all" and find_spec("peft") is None:
            bench.report.add(tune, skipped="peft is not installed")
            continue
        trial, heard = bench.trial(tune), Heard()
        expected = bench.run(trial, f"trained {tune}")
        saved = bench.lab.runs(f"trained {tune}").checkpoints(trial.training_id).path
        again = bench.lab.runs(f"rescored {tune}").checkpoints(trial.training_id).path
        shutil.copytree(saved, again)
        found = bench.run(trial, f"rescored {tune}", heard)
        bench.compare(f"saved and scored again, {tune}", expected, found, epochs=heard.epochs)


def _resumed(bench: _Bench) -> None:
    """Interrupt a training after its first epoch and resume it."""
    for name, trial in (
        ("fast", bench.trial()),
        ("deterministic", bench.trial().as_deterministic()),
    ):
        expected = bench.run(trial, f"undisturbed {name}", keep="every")
        heard = Heard()
        try:
            bench.run(trial, f"resumed {name}", _Interrupted(), keep="every")
        except RuntimeError as error:
            if "interrupted" not in str(error):
                raise
        found = bench.run(trial, f"resumed {name}", heard, keep="every")
        bench.compare(f"resumed, {name}", expected, found, epochs=heard.epochs)


def _gram_in_float32(bench: _Bench) -> None:
    """Score with Gram matrices in float32, as GPUs with slow float64 do."""
    trial = bench.lab.trial(Untuned())
    expected = bench.run(trial, "float64")
    with mock.patch("trainables.encoding.score_rois.uses_float32", return_value=True):
        found = bench.run(trial, "float32")
    bench.compare("Gram matrices in float32", expected, found)


def _short_of_memory(bench: _Bench) -> None:
    """Give trials less memory than they need at once, so that they have to be tried again."""
    if bench.device.type != "cuda":
        bench.report.add("short of memory", skipped="of GPUs only")
        return
    for name, trial, options in (
        ("contrastive", bench.trial(), {}),
        ("untuned", bench.lab.trial(Untuned()), {"feature_budget": 2**40}),
    ):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        expected = bench.run(trial, f"enough for {name}")
        peak = torch.cuda.max_memory_allocated()
        for share in SHARES:
            heard, given = Heard(), f"{name}, {share:.0%} of {peak / 1e9:.2f} GB"
            run = partial(
                _run_within, bench, trial, given, int(share * peak), expected, heard, options
            )
            bench.report.attempt(f"{given}: error", run)
            if any("images at a time" in one for one in heard.stages):
                break


def _run_within(
    bench: _Bench,
    trial: Trial,
    name: str,
    n_bytes: int,
    expected: np.ndarray,
    heard: Heard,
    options: dict[str, Any],
) -> None:
    with _limited_to(n_bytes):
        found = bench.run(trial, name.replace(" ", "-"), heard, **options)
    bench.compare(name, expected, found, stages=heard.stages)


@contextmanager
def _limited_to(n_bytes: int) -> Iterator[None]:
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    torch.cuda.set_per_process_memory_fraction(n_bytes / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def _broken_context(bench: _Bench) -> None:
    """Break the GPU's context in a process of its own: the failure has to be the device's."""
    if bench.device.type != "cuda":
        return
    done = subprocess.run(
        [sys.executable, "-c", BREAK],
        capture_output=True, text=True, encoding="utf-8", check=False, timeout=60,
    )  # fmt: skip
    bench.report.add("a failed assertion", kind=done.stdout.strip(), expected="device")


def _small_vit() -> nn.Module:
    network: nn.Module = VisionTransformer(64, 8, 4, 4, 64, 128)
    return network


@contextmanager
def _small_transformers() -> Iterator[None]:
    with mock.patch.dict(backbones.OWN_ARCHITECTURES, {"small-vit": _small_vit}):
        yield


def _transformer(bench: _Bench) -> None:
    """Run a deterministic trial of a transformer twice."""
    layers = tuple(f"encoder.layers.encoder_layer_{number}:cls" for number in (1, 3))
    trial = bench.trial().as_deterministic()
    trial = replace(trial, encoding=replace(trial.encoding or Encoding(), layers=layers))
    expected = bench.run(trial, "vit")
    bench.compare("deterministic transformer, twice", expected, bench.run(trial, "vit again"))


CHECKS: Final[dict[str, Callable[[_Bench], None]]] = {
    "streaming": _streamed,
    "resuming": _resumed,
    "scoring again": _rescored,
    "float32 Gram": _gram_in_float32,
    "memory": _short_of_memory,
    "broken context": _broken_context,
}
