"""The steps of a programme on a GPU at NSD's size: training, features, encoding."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from benchmarks.ceilings import best_of, measure_ceilings
from benchmarks.gpu_report import Report
from benchmarks.gpu_variants import SMALL, VARIANTS, Size, Stepper, draw
from trainables.compute.linear_algebra import decompose, orthonormal
from trainables.compute.precision import full_float32, tf32_products
from trainables.compute.truncated_eigh import dominant_vectors, leading_components
from trainables.compute.warm_subspace import (
    RoughStart,
    Start,
    block_size,
    orthonormalise,
    warm_components,
)
from trainables.encoding.features import FeatureStore, Storage, extract
from trainables.encoding.pca import gram, principal_components
from trainables.encoding.ridge import Fold, correlate
from trainables.models import backbones
from trainables.models.normalisation import normalise
from trainables.spec import ALEXNET_LAYERS, Encoding

ALPHAS: Final = Encoding().alphas
OCTAVES: Final = (4, 8, 16, 32, 64, 128)
"""Side lengths of the noise that images are summed from, with amplitudes as in photographs."""


def _size(small: bool) -> Size:
    return SMALL if small else Size()


def ceilings(report: Report, device: torch.device, small: bool) -> None:
    """Measure matrix products by precision, and copies."""
    found = measure_ceilings(device)
    report.add("rates", memory=found.memory, disk=found.disk, **found.flops)
    if device.type != "cuda":
        return
    for name, dtype in (("TF32", torch.float32), ("bfloat16", torch.bfloat16)):
        A, B = (torch.randn(8192, 8192, dtype=dtype, device=device) for _ in range(2))
        with tf32_products():
            rate = 2.0 * 8192**3 / best_of(5, lambda A=A, B=B: A @ B, device)  # type: ignore[misc]
        report.add(name, flops=rate)
    host = torch.empty(2**28, dtype=torch.uint8)
    pinned = host.pin_memory()
    report.add(
        "copies to the device",
        pageable=2**28 / best_of(3, lambda: host.to(device), device),
        pinned=2**28 / best_of(3, lambda: pinned.to(device, non_blocking=True), device),
    )


def latencies(report: Report, device: torch.device, small: bool) -> None:
    """Measure factorisations, which latency limits rather than arithmetic."""
    sizes = (64, 100) if small else (1000, 1160, 1182, 2816)
    for dtype in (torch.float32, torch.float64):
        kind = str(dtype).removeprefix("torch.")
        for n in sizes:
            A = torch.randn(n, n, dtype=dtype, device=device)
            A = A @ A.T + n * torch.eye(n, dtype=dtype, device=device)
            report.measure(f"eigh {n} {kind}", partial(torch.linalg.eigh, A), device)
            report.measure(f"cholesky {n} {kind}", partial(torch.linalg.cholesky, A), device)
    n = 300 if small else 6691
    tall = torch.randn(n, 128, device=device)
    report.measure(f"QR {n} x 128 float32", partial(orthonormal, tall), device)
    tall = torch.randn(1673, sizes[0], dtype=torch.float64, device=device)
    report.measure("R of 1,673 rows", partial(torch.linalg.qr, tall, mode="r"), device)
    report.measure("R by Cholesky", lambda: torch.linalg.cholesky(tall.T @ tall), device)
    wide = torch.randn(n, block_size(sizes[0]), dtype=torch.float64, device=device)
    report.measure("Cholesky QR, twice", partial(orthonormalise, wide), device)


def training(report: Report, device: torch.device, small: bool) -> None:
    """Measure a step of every variant on the smallest ROI, and of some variants on the largest."""
    size = _size(small)
    for n_vertices in (size.vertices[0], size.vertices[-1]):
        for variant in VARIANTS:
            if variant.graph and device.type != "cuda":
                continue
            if n_vertices != size.vertices[0] and variant.compiled:
                continue
            name = f"{variant.name}, {n_vertices:,} vertices"
            try:
                took = _seconds_of_step(report, name, Stepper(variant, size, n_vertices, device))
                report.add(f"{name}, rate", images_per_second=size.batch_size / took)
            except RuntimeError as error:
                report.add(name, error=str(error)[:200])
    images = draw(size.batch_size, size, device)
    report.measure("normalise a batch", lambda: normalise(images), device)


def _seconds_of_step(report: Report, name: str, stepper: Stepper) -> float:
    """Measure a step; the model is freed on return, before the next variant is built."""
    return report.measure(name, stepper.step, stepper.device, repeats=5)


def pictures(n: int, size: Size, device: torch.device, seed: int = 0) -> Tensor:
    """Draw images with a spectrum like that of photographs: (n, 3, side, side) uint8."""
    generator = torch.Generator(device).manual_seed(seed)
    parts = []
    for few in torch.split(torch.arange(n), 512):
        total = torch.zeros(len(few), 3, size.image_size, size.image_size, device=device)
        for side in OCTAVES:
            noise = torch.randn(len(few), 3, side, side, generator=generator, device=device)
            total += nn.functional.interpolate(noise, total.shape[-2:], mode="bilinear") * 4 / side
        parts.append((128 + 40 * total).clamp(0, 255).to(torch.uint8))
    return torch.cat(parts)


def features_of(
    size: Size, device: torch.device, home: Path, images: Tensor | None = None
) -> FeatureStore:
    """Pass images, by default drawn ones, through a random backbone; keep all layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = backbones.build(size.backbone)
    if images is None:
        images = pictures(size.n_images, size, device)
    batches = torch.split(images, 256 if device.type == "cuda" else 32)
    return extract(network, ALEXNET_LAYERS, batches, len(images), Storage(device, 2**37, home))


def scoring(report: Report, device: torch.device, small: bool) -> None:
    """Measure features, Gram matrices, factorisations and ridge."""
    size, home = _size(small), Path(tempfile.gettempdir())
    images = pictures(size.n_images, size, device)
    report.measure("features", lambda: features_of(size, device, home, images).close(), device)
    store = features_of(size, device, home, images)
    layer = ALEXNET_LAYERS[2]
    wide = store.n_features(layer)
    report.measure(f"Gram of {wide} features", lambda: gram(store.columns(layer)), device)
    K = gram(store.columns(layer))
    store.close()
    n, k = size.n_train, size.n_components
    train, test = torch.arange(n // 5, n, device=device), torch.arange(n // 5, device=device)
    kept: list[Fold] = []

    def fit() -> None:
        kept[:] = [Fold.fit(K, train, test, k)]

    report.measure("fold of nested", fit, device)
    some = torch.arange(size.n_images - n, device=device)
    few = len(some) // 5
    report.measure(
        "fold of paper", lambda: principal_components(K, some[few:], some[:few], k), device
    )
    for n_vertices in (*size.vertices, size.all_vertices):
        Y = torch.randn(len(K), n_vertices, device=device)
        with full_float32():
            run = partial(correlate, kept[0], Y, ALPHAS)
            report.measure(f"ridge, {n_vertices:,} vertices", run, device)


def gram_in_float32(report: Report, device: torch.device, small: bool) -> None:
    """Compare a Gram matrix of float32 chunks with the float64 one: time, error and r."""
    size, home = _size(small), Path(tempfile.gettempdir())
    store = features_of(size, device, home)
    n, k = size.n_train, size.n_components
    train, test = torch.arange(n // 5, n, device=device), torch.arange(n // 5, device=device)
    Y = torch.randn(size.n_images, 500, device=device)
    for layer in (ALEXNET_LAYERS[0], ALEXNET_LAYERS[4], ALEXNET_LAYERS[6]):
        double, single = (partial(_gram_of, store, layer, one) for one in (gram, gram32))
        with full_float32():
            report.measure(f"{layer}: float64", double, device)
            report.measure(f"{layer}: float32", single, device)
            K, K32 = double(), single()
            r, r32 = (correlate(Fold.fit(one, train, test, k), Y, ALPHAS) for one in (K, K32))
            error = float(torch.linalg.matrix_norm(K32 - K) / len(K) ** 0.5)
        report.add(f"{layer}: difference", error=error, r=float((r32 - r).abs().nan_to_num().max()))
    store.close()


def _gram_of(store: FeatureStore, layer: str, sum_products: Callable[..., Tensor]) -> Tensor:
    return sum_products(store.columns(layer))


def gram32(chunks: Any) -> Tensor:
    """Compute inner products of images: float32 within chunks, float64 over chunks."""
    K: Tensor | None = None
    for chunk in chunks:
        X = chunk - chunk.mean(dim=0)
        product = X @ X.T
        K = product.double() if K is None else K.add_(product)
    assert K is not None
    return K


def components(report: Report, device: torch.device, small: bool) -> None:
    """Compare ways to compute a fold's components: all, block Lanczos, subspace iteration."""
    size, home = _size(small), Path(tempfile.gettempdir())
    store = features_of(size, device, home)
    for layer in (ALEXNET_LAYERS[0], ALEXNET_LAYERS[3], ALEXNET_LAYERS[5]):
        n = size.n_train
        _components_of(report, layer, gram(store.columns(layer))[:n, :n], size.n_components)
    store.close()


def _components_of(report: Report, layer: str, K: Tensor, k: int) -> None:
    n, device = len(K), K.device
    rows = torch.arange(n // 5, n, device=device)
    full, fold = _centred(K), _centred(K[rows[:, None], rows])
    report.measure(f"{layer}: all of {n}", lambda: decompose(full.clone()), device, repeats=1)
    values, vectors = (one.flip(-1) for one in decompose(full))
    m = block_size(k)
    start = Start(values[:m], vectors[:, :m].float().contiguous(), n).of_rows(rows)
    deterministic = torch.linalg.eigvalsh(fold).flip(0)[:k]
    lanczos = partial(dominant_vectors, fold.float(), k, 2e-3)
    iterate = partial(warm_components, fold, start, k)
    rough = partial(warm_components, full, RoughStart(k), m)
    with full_float32():
        report.measure(
            f"{layer}: block Lanczos", lambda: leading_components(fold.clone(), k), device
        )
        report.measure(f"{layer}: Lanczos vectors alone", lanczos, device)
        report.measure(f"{layer}: warm subspace", iterate, device)
        report.measure(f"{layer}: all of {n}, rough start", rough, device)
        found = iterate()
    values = torch.full_like(deterministic, torch.nan) if found is None else found[0]
    report.add(
        f"{layer}: exactness",
        certified=found is not None,
        eigenvalues=float(((values - deterministic).abs() / deterministic).max()),
        condition=float(deterministic[0] / deterministic[-1]),
    )


def _centred(K: Tensor) -> Tensor:
    mean = K.mean(dim=0)
    K = K - mean
    K -= (mean - mean.mean())[:, None]
    return (K + K.T) / 2
