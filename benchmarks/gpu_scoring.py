"""Scoring a backbone under ``nested`` and ``paper`` at NSD's size: time by step, and launches."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu_report import Report
from benchmarks.gpu_steps import features_of, pictures
from benchmarks.gpu_variants import SMALL, Size
from trainables.encoding.protocols import Split
from trainables.encoding.score_rois import Targets, score_rois
from trainables.spec import ALEXNET_LAYERS, Encoding, Roi

VERTICES_PER_ROI: Final = 1000
STEPS: Final = {
    "Gram matrices": "trainables.encoding.score_rois.read_layer",
    "principal components": "trainables.encoding.ridge.principal_components",
    "eigenpairs": "trainables.encoding.pca.leading_components",
    "Lanczos or all eigenpairs, after a refusal": "trainables.compute.truncated_eigh._truncated",
    "r at every alpha": "trainables.encoding.protocols.correlate",
    "r at the chosen alpha": "trainables.encoding.protocols.correlate_each",
    "predictions": "trainables.encoding.chosen_predictions.ChosenPredictions.offer",
    "choice of layers": "trainables.encoding.score_rois._select",
}
"""Functions that are timed; eigenpairs are a part of principal components."""


@dataclass
class Encoder:
    """A subject of NSD's size, whose features and responses are drawn."""

    size: Size
    device: torch.device
    images: torch.Tensor = field(init=False)
    encoding: Encoding = field(init=False)
    split: Split = field(init=False)

    def __post_init__(self) -> None:
        """Draw the images, with a spectrum like that of photographs."""
        n, n_train = self.size.n_images, self.size.n_train
        self.images = pictures(n, self.size, self.device)
        self.split = Split(np.arange(n_train), np.arange(n_train, n), n)
        self.encoding = Encoding(protocols=("nested", "paper"), n_components=self.size.n_components)

    def targets(self, n_vertices: int) -> Targets:
        """Draw responses of ROIs of at most VERTICES_PER_ROI vertices."""
        Y = torch.randn(self.size.n_images, n_vertices, device=self.device)
        parts = np.array_split(
            np.arange(n_vertices, dtype=np.int32), -(-n_vertices // VERTICES_PER_ROI)
        )
        names = (Roi("nsd", "subj01", "lh", f"r{i}", len(p), "-") for i, p in enumerate(parts))
        columns = tuple(torch.from_numpy(part.astype(np.int64)) for part in parts)
        return Targets(tuple(names), tuple(parts), columns, Y)

    def score(self, n_vertices: int) -> float:
        """Score responses on the features of all layers; return the seconds of scoring."""
        targets = self.targets(n_vertices)
        with features_of(self.size, self.device, Path(tempfile.gettempdir()), self.images) as read:
            self.wait()
            started = time.perf_counter()
            score_rois(read, targets, self.split, self.encoding, keep_predictions=True)
            self.wait()
            return time.perf_counter() - started

    def wait(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def encoding(report: Report, device: torch.device, small: bool) -> None:
    """Measure whole scorings, the steps of one, and its kernels, copies and waits of the host."""
    size = SMALL if small else Size()
    encoder = Encoder(size, device)
    encoder.score(size.vertices[0])
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for n_vertices in (size.vertices[0], size.vertices[-1], size.all_vertices):
        seconds = [encoder.score(n_vertices) for _ in range(2)]
        report.add(f"{n_vertices:,} vertices, {len(ALEXNET_LAYERS)} layers", seconds=seconds)
    if device.type == "cuda":
        report.add("memory", peak_gb=torch.cuda.max_memory_allocated() / 1e9)
    with _timed(encoder.wait) as spent:
        total = encoder.score(size.vertices[0])
    for name, each in spent.items():
        report.add(name, seconds=sum(each), calls=len(each))
    report.add("the steps, each waited for", seconds=total)
    if device.type == "cuda":
        _profile(report, lambda: encoder.score(size.vertices[0]))


@contextmanager
def _timed(wait: Callable[[], None]) -> Iterator[dict[str, list[float]]]:
    """Time the functions of STEPS within the block, by name."""
    spent: dict[str, list[float]] = {name: [] for name in STEPS}

    def timed(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            wait()
            started = time.perf_counter()
            result = original(*arguments, **options)
            wait()
            spent[name].append(time.perf_counter() - started)
            return result

        return run

    with ExitStack() as stack:
        for name, path in STEPS.items():
            patch = mock.patch(path)
            original = patch.get_original()[0]
            stack.enter_context(mock.patch(path, timed(name, original)))
        yield spent


def _profile(report: Report, run: Callable[[], float]) -> None:
    """Count the kernels of a scoring, its copies, and what the host waits for."""
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        seconds = run()
    events = seen.events() or []
    on_device = [one for one in events if str(one.device_type).endswith("CUDA")]
    copies = [one for one in on_device if one.name.startswith(("Memcpy HtoD", "Memcpy DtoH"))]
    report.add(
        "profile",
        seconds=seconds,
        kernels=len(on_device),
        kernel_seconds=sum(one.device_time for one in on_device) / 1e6,
        copies=len(copies),
        copy_seconds=sum(one.device_time for one in copies) / 1e6,
        waits=sum("Synchronize" in one.name for one in events),
    )
