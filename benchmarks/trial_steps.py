"""The steps of a trial, each run on a part of its work, with their operations and bytes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.small_shards import write_shards
from benchmarks.spectra import plausible_gram
from trainables.compute.linear_algebra import add_gram
from trainables.compute.numerics import FAST, is_truncated
from trainables.compute.precision import full_float32
from trainables.data.images import ResidentImages
from trainables.data.loading import ALONE_BYTES, read_images
from trainables.encoding.features import Storage, extract
from trainables.encoding.pca import IMAGES_PER_FEATURE, read_layer
from trainables.encoding.ridge import Fold, correlate
from trainables.encoding.score_rois import RoiScores
from trainables.models import backbones
from trainables.models.backbone_facts import BackboneSize
from trainables.models.measurement import measure_backbone
from trainables.models.widths import head_widths
from trainables.results.prediction_files import write_predictions
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import Backbone, Contrastive, Encoding, Roi, Trial
from trainables.training.batches import TrainingData
from trainables.training.distributed import SINGLE_PROCESS
from trainables.training.finetune import train_epoch
from trainables.training.preparation import Training
from trainables.training.synchronised import SharedModel
from trainables.worker.score_subject import FEATURE_BATCH


@dataclass(frozen=True)
class Size:
    """Sizes of a subject and a backbone."""

    n_images: int
    n_train: int
    image_size: int
    backbone: str
    batch_size: int
    epochs: int
    sample: int
    """Images of the part that is run."""


SIZES: Final = {
    "nsd": Size(9841, 8364, 224, "alexnet", 1024, 30, 1024),
    "small": Size(600, 510, 64, "narrow-alexnet", 128, 3, 256),
}


@dataclass(frozen=True)
class Step:
    """One step of a trial, and the part that is run."""

    name: str
    share: float
    """Fraction of the step's operations that is run."""
    flops: float
    """Minimum number of operations of the whole step."""
    precision: str
    n_bytes: float
    """Minimum number of bytes that the whole step moves through the device's memory."""
    run: Callable[[], object]


def steps(size: Size, n_vertices: int, device: torch.device, home: Path) -> Iterator[Step]:
    """Yield a trial's steps in order; each keeps its data in memory until the next is requested."""
    backbone = measure_backbone(Backbone(size.backbone), size.image_size)
    yield _reading(size, device, home)
    if device.type == "cuda":
        yield _moving(size, device)
    yield _epochs(size, n_vertices, device, backbone)
    yield _features(size, device, home, backbone)
    widths = layer_widths(size)
    few = [width for width in widths.values() if IMAGES_PER_FEATURE * width <= size.n_images]
    yield _grams(size, {name: w for name, w in widths.items() if w not in few}, device)
    yield from _fits(size, n_vertices, (len(widths), len(few)), device)
    for width in few:
        yield _few(size, width, device)
    yield _writing(size, n_vertices, home)


def _reading(size: Size, device: torch.device, home: Path) -> Step:
    """Read images of a shard, at most as many as a worker reads without Ray Data."""
    an_image = 3 * size.image_size**2
    n = min(size.n_images, ALONE_BYTES // an_image)
    write_shards(home / "data", n_images=n, image_size=size.image_size)
    shard, n_bytes = home / "data" / "nsd-subj01", 2.0 * size.n_images * an_image
    run = partial(read_images, shard, device)
    return Step("reading", n / size.n_images, 0.0, "float32", n_bytes, run)


def _moving(size: Size, device: torch.device) -> Step:
    images = draw_images(size.sample, size, torch.device("cpu"))
    n_bytes = float(size.n_images * images[0].numel())
    run = partial(images.to, device)
    return Step("host to device", size.sample / size.n_images, 0.0, "float32", n_bytes, run)


def draw_images(n: int, size: Size, device: torch.device) -> Tensor:
    """Draw images of noise; computing time does not depend on their content."""
    generator = torch.Generator().manual_seed(0)
    shape = (n, 3, size.image_size, size.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)


def layer_widths(size: Size) -> dict[str, int]:
    """Count the features of each layer for one image."""
    network = backbones.build(size.backbone)
    layers = Encoding().layers
    storage = Storage(torch.device("cpu"), 2**34, Path())
    with extract(network, layers, [draw_images(1, size, torch.device("cpu"))], 1, storage) as one:
        return {layer: sum(part.shape[1] for part in one.columns(layer)) for layer in layers}


def _epochs(size: Size, n_vertices: int, device: torch.device, backbone: BackboneSize) -> Step:
    n = min(size.sample, size.n_train)
    objective = Contrastive(batch_size=min(size.batch_size, n), epochs=1)
    hidden, embedding = head_widths(objective, n_vertices)
    head = hidden * (2 * hidden + embedding) + hidden * (1000 + n_vertices)
    data = TrainingData(
        ResidentImages(draw_images(n, size, device)),
        torch.randn(n, n_vertices, device=device),
        torch.arange(n),
    )

    network = backbones.build(size.backbone).to(device)
    training = Training.build(objective, 0, network, [data])
    shared = SharedModel(SINGLE_PROCESS, training.model)

    weights = backbone.parameter_bytes + 4 * head
    n_batches = -(-size.n_train // size.batch_size)
    return Step(
        "fine-tuning",
        n / size.n_train / size.epochs,
        3.0 * size.epochs * size.n_train * (backbone.flops + 4.0 * head),
        "float32",
        # Each activation is written and read in both passes; Adam reads four values per weight
        # and writes three.
        size.epochs * (4.0 * size.n_train * backbone.activation_bytes + 7.0 * n_batches * weights),
        lambda: train_epoch(training, shared, SINGLE_PROCESS, 1),
    )


def _features(size: Size, device: torch.device, home: Path, backbone: BackboneSize) -> Step:
    n = min(size.sample, size.n_images)
    images, network = draw_images(n, size, device), backbones.build(size.backbone)

    def run() -> None:
        batches = torch.split(images, FEATURE_BATCH[device.type])
        extract(network, Encoding().layers, batches, n, Storage(device, 2**36, home)).close()

    n_bytes = 2.0 * size.n_images * backbone.activation_bytes
    flops = size.n_images * backbone.flops
    return Step("features", n / size.n_images, flops, "float32", n_bytes, run)


def _grams(size: Size, widths: dict[str, int], device: torch.device) -> Step:
    total, sample = sum(widths.values()), min(4096, max(widths.values()))
    n = size.n_images
    X = torch.randn(n, sample, dtype=torch.float64, device=device)
    K = torch.zeros(n, n, dtype=torch.float64, device=device)
    return Step(
        "Gram matrices",
        sample / total,
        float(n) * n * total,
        "float64",
        4.0 * n * total,
        lambda: add_gram(K, X),
    )


def _few(size: Size, width: int, device: torch.device) -> Step:
    """Compute the components of a layer with few features, for one of the five ``nested`` folds."""
    encoding = Encoding()
    n, n_fold = size.n_train, size.n_train - size.n_train // encoding.n_folds
    layer = read_layer([torch.randn(size.n_images, width, device=device)], width, size.n_images)
    rows = torch.arange(n_fold), torch.arange(n_fold, n)
    flops = 2.0 * encoding.n_folds * n_fold * width**2 + 2.0 * n * width**2
    return Step(
        "components of few features",
        2.0 * n_fold * width**2 / flops,
        flops,
        "float64",
        8.0 * (encoding.n_folds + 1) * n_fold * width,
        lambda: Fold.fit(layer, *rows, encoding.n_components),
    )


def _fits(
    size: Size, n_vertices: int, layers: tuple[int, int], device: torch.device
) -> Iterator[Step]:
    """Yield factorisation and ridge of one layer, for one of the five ``nested`` folds.

    layers: number of layers, and of those with few features.
    """
    n_layers, n_few = layers
    encoding = Encoding()
    n, n_fold = size.n_train, size.n_train - size.n_train // encoding.n_folds
    K = plausible_gram(n, device)
    train, test = torch.arange(n_fold), torch.arange(n_fold, n)
    folds: list[Fold] = []

    def fit() -> None:
        folds.append(Fold.fit(K, train, test, encoding.n_components))

    n_wide = n_layers - n_few
    cubes = n_wide * (encoding.n_folds * float(n_fold) ** 3 + float(n) ** 3)
    k = min(encoding.n_components, n_fold - 1)
    squares = n_wide * (encoding.n_folds * float(n_fold) ** 2 + float(n) ** 2)
    # A truncated decomposition grows with the square of the rows, a full one with the cube.
    share = n_fold**2 / squares if is_truncated(n_fold, k, FAST) else n_fold**3 / cubes
    # Reduction to tridiagonal form, and back-transformation of k vectors.
    flops = 4 / 3 * cubes + 2 * k * squares
    yield Step("factorisation", share, flops, "float64", 8 * squares, fit)

    Y = torch.randn(n, n_vertices, device=device)

    def regress() -> None:
        with full_float32():
            correlate(folds[-1], Y, encoding.alphas)

    n_test, n_alphas = n - n_fold, len(encoding.alphas)
    # With more test rows than components, r is computed from the components (half a square matrix
    # per alpha).
    an_alpha = n_test if n_test <= k else k / 2 + n_test / n_alphas
    a_fold = 2.0 * k * n_vertices * (n_fold + n_alphas * an_alpha)
    a_refit = 2.0 * k * n_vertices * (n + size.n_images - n)
    flops = n_layers * (encoding.n_folds * a_fold + a_refit)
    n_bytes = n_layers * (encoding.n_folds + 1) * 4.0 * n_vertices * (n + n_alphas * n_test)
    yield Step("ridge and r", a_fold / flops, flops, "float32", n_bytes, regress)


def _writing(size: Size, n_vertices: int, home: Path) -> Step:
    roi = Roi("nsd", "subj01", "lh", "V1v", n_vertices, "made-up")
    trial = Trial(Contrastive(), (roi,), Backbone(size.backbone, "made-up"), Encoding())
    n_test, layers = size.n_images - size.n_train, Encoding().layers
    rng = np.random.default_rng(0)
    values: Any = rng.random(n_vertices)
    scores = RoiScores(
        roi,
        "nested",
        layers[0],
        layers,
        np.arange(n_vertices, dtype=np.int32),
        alpha=values,
        r=values,
        r_by_layer=rng.random((len(layers), n_vertices)),
        choice_by_layer=rng.random((len(layers), n_vertices)),
        n_test=n_test,
        predictions=rng.standard_normal((n_test, n_vertices)).astype(np.float16),
    )

    def run() -> None:
        write_predictions(RunDirectory(home), trial, [scores], np.arange(n_test))
        write_scores(RunDirectory(home), trial, [scores])

    return Step("writing", 1.0, 0.0, "float32", 2.0 * 2 * n_test * n_vertices, run)
