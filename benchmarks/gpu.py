"""Measure a sweep on a GPU: peak rates, the steps of a trial, several trials, the whole programme.

python -m benchmarks.gpu [--json FILE]
python -m benchmarks.gpu --small

It takes about eight minutes on a large GPU, and needs only torch, torchvision, pyarrow, NumPy and
scikit-learn: no Ray, no data. ``--small`` runs a problem of a minute on a CPU as a test of the
benchmark; its figures mean nothing.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks import gpu_sharing
from benchmarks.ceilings import Ceilings, best_of, measure_ceilings, timed
from benchmarks.gpu_variants import (
    DEFAULT,
    HALF,
    SMALL,
    VARIANTS,
    Size,
    Stepper,
    Variant,
    draw,
)
from benchmarks.programme import (
    METHODS,
    POOLED,
    ROIS,
    SUBJECTS,
    between,
    scorings,
    subject_epochs,
)
from benchmarks.spectra import plausible_gram
from trainables.compute.device import use_threads
from trainables.compute.linear_algebra import add_gram
from trainables.compute.numerics import Numerics
from trainables.compute.precision import full_float32, tf32_products
from trainables.encoding.features import Storage, extract
from trainables.encoding.ridge import Fold, correlate
from trainables.models import backbones
from trainables.models.weights_name import weights_name
from trainables.spec import ALEXNET_LAYERS, Backbone, Encoding

FEATURES: Final = 210_000
"""Number of features of AlexNet's eight layers for one image of 224 px."""
REPEATS: Final = 3
Seconds = list[float]


def steps_of_finetuning(size: Size, device: torch.device) -> dict[str, dict[str, Any]]:
    """Measure a step of every variant on the smallest ROI, and of two variants on the others."""
    found: dict[str, dict[str, Any]] = {}
    for n_vertices in size.vertices:
        smallest = n_vertices == size.vertices[0]
        for variant in VARIANTS if smallest else (DEFAULT, HALF):
            if variant.graph and device.type != "cuda":
                continue
            name = f"{variant.name}, {n_vertices:,} vertices"
            try:
                stepper = Stepper(variant, size, n_vertices, device)
                first = timed(stepper.step, device)
                found[name] = {
                    "first": first,
                    "seconds": [timed(stepper.step, device) for _ in range(REPEATS + 2)][2:],
                }
                rate = size.batch_size / statistics.median(found[name]["seconds"])
                log(f"{name}: {rate:,.0f} images/s (the first step {first:.1f} s)")
            except RuntimeError as error:  # this machine can't run the variant
                log(f"{name}: not run ({str(error).splitlines()[0][:120]})")
    return found


def steps_of_scoring(size: Size, device: torch.device, home: Path) -> dict[str, Seconds]:
    """Measure each step of scoring one backbone, scaled to seconds per subject."""
    images, network = draw(min(1024, size.n_images), size, device), backbones.build(size.backbone)
    part = 256 if device.type == "cuda" else 32

    def features() -> None:
        batches = torch.split(images, part)
        storage = Storage(device, 2**36, home)
        extract(network, ALEXNET_LAYERS, batches, len(images), storage).close()

    X = torch.randn(size.n_images, 4096, dtype=torch.float64, device=device)
    K = torch.zeros(size.n_images, size.n_images, dtype=torch.float64, device=device)
    found = {
        "features": repeated(features, size.n_images / len(images), device),
        "Gram matrices": repeated(partial(add_gram, K, X), FEATURES / 4096, device),
    }
    del X, K
    n, n_test = size.n_train, size.n_images - size.n_train
    found |= folds(size, n, "nested", (n - n // 5, n), device)
    found |= folds(size, n_test, "paper", (n_test - n_test // 5,), device)
    return found


def folds(
    size: Size, n: int, protocol: str, rows: tuple[int, ...], device: torch.device
) -> dict[str, Seconds]:
    """Measure the factorisation and ridge of a protocol, for the five folds of eight layers.

    rows: training rows of a fold, and of the refit where there is one.
    """
    K = plausible_gram(n, device)
    n_folds = len(ALEXNET_LAYERS) * 5
    train, test = torch.arange(rows[0]), torch.arange(rows[0], n)
    kept: list[Fold] = []

    def fit() -> None:
        kept[:] = [Fold.fit(K, train, test, size.n_components)]

    share = n_folds * (1 + sum((one / rows[0]) ** 2 / 5 for one in rows[1:]))
    found = {f"{protocol}: factorisation": repeated(fit, share, device)}
    if protocol == "nested":
        whole = partial(Fold.fit, K, train, test, size.n_components, Numerics(deterministic=True))
        found["nested: factorisation, --deterministic"] = repeated(whole, share, device)
    for n_vertices in (*size.vertices, size.all_vertices):
        Y = torch.randn(n, n_vertices, device=device)

        def regress(Y: Tensor = Y) -> None:
            with full_float32():
                correlate(kept[0], Y, Encoding().alphas)

        name = f"{protocol}: ridge, {n_vertices:,} vertices"
        found[name] = repeated(regress, n_folds, device)
    return found


def repeated(run: Callable[[], object], times: float, device: torch.device) -> Seconds:
    """Measure a step a few times after a warm-up, and scale it to the whole."""
    run()
    return [times * timed(run, device) for _ in range(REPEATS)]


def project(
    size: Size,
    finetuning: dict[str, dict[str, Any]],
    scoring: dict[str, Seconds],
    loading: Seconds,
) -> None:
    """Print the estimated GPU-hours of the paper's programme, as a range over measurements."""
    for variant in (DEFAULT, HALF):
        parts = {
            "finetuning": [
                _finetuning_hours(size, finetuning, variant, pick) for pick in (min, max)
            ],
            "scoring": [_scoring_hours(size, scoring, pick, transfer=False) for pick in (min, max)],
            "transfer": [_scoring_hours(size, scoring, pick, transfer=True) for pick in (min, max)],
            "loading": [_host_hours(loading, pick) for pick in (min, max)],
        }
        message = ", ".join(f"{name} {a:.2f} to {b:.2f}" for name, (a, b) in parts.items())
        low, high = (sum(ends[k] for ends in parts.values()) for k in (0, 1))
        log(f"the paper's programme, {variant.name}: {low:.2f} to {high:.2f} GPU-hours ({message})")


Pick = Callable[[Seconds], float]


def _finetuning_hours(
    size: Size, finetuning: dict[str, dict[str, Any]], variant: Variant, pick: Pick
) -> float:
    """Sum the epochs of 312 ROIs by two objectives, and of 172 models of eight subjects each."""
    steps = [pick(finetuning[f"{variant.name}, {n:,} vertices"]["seconds"]) for n in size.vertices]
    an_epoch = size.n_train / size.batch_size
    n_steps = {
        n: times * an_epoch for n, times in sum(subject_epochs().values(), Counter()).items()
    }
    return sum(times * between(n, size.vertices, steps) for n, times in n_steps.items()) / 3600


def _scoring_hours(size: Size, scoring: dict[str, Seconds], pick: Pick, *, transfer: bool) -> float:
    """Sum the passes and folds of every fine-tuned backbone under both protocols."""
    fixed = ("features", "Gram matrices", "nested: factorisation", "paper: factorisation")
    a_backbone = sum(pick(scoring[name]) for name in fixed)

    def ridge(n_vertices: float) -> float:
        sizes = (*size.vertices, size.all_vertices)
        measured = [
            [pick(scoring[f"{one}: ridge, {n:,} vertices"]) for n in sizes] for one in PROTOCOLS
        ]
        return sum(between(n_vertices, sizes, one) for one in measured)

    of_roi = a_backbone + fmean(map(ridge, ROIS))
    counts = scorings()
    if transfer:
        return counts["transfer"] * of_roi / 3600
    pooled = counts["of pooled models"] * (a_backbone + ridge(fmean(ROIS)))
    untuned = SUBJECTS * (a_backbone + ridge(size.all_vertices))
    return ((counts["of own ROIs"] - SUBJECTS) * of_roi + pooled + untuned) / 3600


def _host_hours(seconds: Seconds, pick: Pick) -> float:
    """Sum the loads of backbones, during which the GPU waits."""
    n_loads = METHODS * (SUBJECTS * len(ROIS) + POOLED) + scorings()["transfer"]
    return n_loads * pick(seconds) / 3600


def loads(size: Size, home: Path) -> Seconds:
    """Measure loading a backbone from a file of weights."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        file = Path(folder) / "weights.pt"
        torch.save(backbones.build(size.backbone).state_dict(), file)
        backbone = Backbone(size.backbone, weights_name(file))
        return repeated(lambda: backbones.load(backbone, file), 1, torch.device("cpu"))


PROTOCOLS: Final = ("nested", "paper")


def ceilings_of(device: torch.device) -> tuple[Ceilings, dict[str, float]]:
    """Measure the device's peak rates, including precisions that scores do not use."""
    found = measure_ceilings(device)
    fast: dict[str, float] = {}
    if device.type == "cuda":
        n = 8192
        for name, dtype in (("TF32", torch.float32), ("bfloat16", torch.bfloat16)):
            A, B = (torch.randn(n, n, dtype=dtype, device=device) for _ in range(2))
            with tf32_products():
                fast[name] = 2.0 * n**3 / best_of(5, lambda A=A, B=B: A @ B, device)  # type: ignore[misc]
    rates = {**found.flops, **fast}
    message = ", ".join(f"{rate / 1e12:.1f} TFLOP/s {name}" for name, rate in rates.items())
    log(f"{message}, {found.memory / 1e9:,.0f} GB/s of memory")
    return found, fast


def log(text: str) -> None:
    """Print a line with the seconds since the start, without buffering."""
    print(f"[{time.perf_counter() - START:5.0f} s] {text}", flush=True)


START: Final = time.perf_counter()


def main() -> None:
    """Measure everything, print the figures, and write them."""
    parser = argparse.ArgumentParser(description="Measure a sweep on a GPU.")
    parser.add_argument("--small", action="store_true", help="a problem small enough for a CPU")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    if not has_gpu and not options.small:
        parser.error("there is no GPU; --small runs a small problem on the CPU")
    device, size = torch.device("cuda" if has_gpu else "cpu"), SMALL if options.small else Size()
    use_threads(torch.get_num_threads())
    log(f"{torch.cuda.get_device_name() if has_gpu else 'CPU'}, torch {torch.__version__}, {size}")
    ceilings, fast = ceilings_of(device)
    finetuning = steps_of_finetuning(size, device)
    scoring = steps_of_scoring(size, device, Path())
    for name, seconds in scoring.items():
        middle = statistics.median(seconds)
        log(f"{name}: {middle:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")
    loading = loads(size, Path())
    project(size, finetuning, scoring, loading)
    load = gpu_sharing.Load(size.backbone, size.image_size, min(256, size.batch_size))
    trials_per_gpu = gpu_sharing.measure(load, size.trials_per_gpu, device, 1)
    for name, rates in trials_per_gpu.items():
        log(f"packed, batches of {load.batch_size}: {name}: {rates[0]:,.0f} images/s")
    if options.json:
        content = {"size": asdict(size), "ceilings": asdict(ceilings), "fast": fast}
        content |= {
            "finetuning": finetuning,
            "scoring": scoring,
            "gpu_sharing": trials_per_gpu,
            "loading": {"seconds": loading},
        }
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
