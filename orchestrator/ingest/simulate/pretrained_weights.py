"""Pretrain the small backbone on the simulated classes, as a stand-in for ImageNet's weights."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from orchestrator.ingest.simulate.scenes import CLASSES, compose, render
from trainables.models import backbones
from trainables.models.normalisation import normalise
from trainables.spec.fields import Count, Int, Measure, Positive, Share, Text
from trainables.spec.records import parse, record
from trainables.storage.tensor_files import write_tensors

FIRST_STIMULUS: Final = 100_000
"""First stimulus number of pretraining; no subject is shown a stimulus from here on."""
RECORD: Final = "pretraining"
"""The only key of the weights file's metadata: safetensors writes several in arbitrary order."""


@record
class PretrainingSettings:
    """Settings of the pretraining."""

    architecture: Text = "narrow-alexnet"
    n_train: Count = 2400
    n_test: Count = 400
    epochs: Count = 8
    batch_size: Count = 32
    learning_rate: Positive = 1e-3
    """Maximum of the one-cycle schedule (Smith, 2018)."""
    dropout: Share = 0.2
    image_size: Count = 64
    """Width and height of the images in pixels."""
    n_threads: Count = 1
    """Threads of torch; another number rounds differently."""
    seed: Int = 0


@record
class Pretraining:
    """The metadata of a weights file: settings and test accuracy of its pretraining."""

    settings: PretrainingSettings
    accuracy: Measure


def make_weights(path: Path, settings: PretrainingSettings | None = None) -> Path:
    """Write the stand-in weights to path (safetensors), unless they exist.

    The state dict is complete, with 1000 outputs, the first of which are the simulated classes.
    The metadata contain the settings and the test accuracy. Raises ValueError when path holds
    weights of other settings, or anything else.
    """
    settings = settings or PretrainingSettings()
    if path.exists():
        _check_same(path, settings)
        return path
    with _reproducible(settings.seed, settings.n_threads):
        network = backbones.build(settings.architecture)
        _train(network, settings)
        accuracy = _measure_accuracy(network, settings)
    record = {RECORD: json.dumps({"settings": asdict(settings), "accuracy": accuracy})}
    write_tensors(path, network.state_dict(), record)
    return path


def read_accuracy(path: Path) -> float:
    """Read the test accuracy, 0 to 1, from the metadata of a weights file."""
    made = _pretraining(path)
    return math.nan if made is None else made.accuracy


def _pretraining(path: Path) -> Pretraining | None:
    """Read the metadata of the pretraining; None for weights from another source."""
    try:
        with safe_open(path, framework="pt") as stream:
            note = (stream.metadata() or {}).get(RECORD)
        return None if note is None else parse(Pretraining, note)
    except Exception as error:  # safetensors has its own error type
        raise ValueError(
            f"{path}: expected weights in safetensors, found another kind of file; remove it or "
            "name another file"
        ) from error


def _check_same(path: Path, settings: PretrainingSettings) -> None:
    made = _pretraining(path)
    found = "unknown settings" if made is None else asdict(made.settings)
    if made is None or made.settings != settings:
        raise ValueError(
            f"{path}: expected weights of {asdict(settings)}, found those of {found}; remove it or "
            "name another file"
        )


@contextmanager
def _reproducible(seed: int, n_threads: int) -> Iterator[None]:
    """Make torch's results reproducible, and restore its settings afterwards."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(n_threads)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.use_deterministic_algorithms(strict)
        torch.set_num_threads(threads)


def _draw(settings: PretrainingSettings, first: int, n_images: int) -> tuple[Tensor, Tensor]:
    """Render labelled images: (n_images, 3, size, size) uint8 and (n_images,) int64."""
    scenes = [compose(settings.seed, first + k) for k in range(n_images)]
    images = np.stack([render(scene, settings.image_size) for scene in scenes])
    labels = torch.tensor([scene.main.label for scene in scenes])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), labels


def _initialise(network: nn.Module, dropout: float) -> None:
    """Initialise hidden weights by He et al. (2015); the default is too slow for short training."""
    weighted = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    for part in weighted[:-1]:
        nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if part.bias is not None:
            nn.init.zeros_(part.bias)
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = dropout


def _train(network: nn.Module, settings: PretrainingSettings) -> None:
    _initialise(network, settings.dropout)
    images, labels = _draw(settings, FIRST_STIMULUS, settings.n_train)
    optimiser = torch.optim.AdamW(network.parameters(), settings.learning_rate)
    n_steps = settings.epochs * -(-settings.n_train // settings.batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, n_steps, pct_start=0.2
    )
    network.train()
    for _ in range(settings.epochs):
        for rows in torch.split(torch.randperm(settings.n_train), settings.batch_size):
            loss = nn.functional.cross_entropy(_classify(network, images[rows]), labels[rows])
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    network.eval()


def _classify(network: nn.Module, images: Tensor) -> Tensor:
    """Compute the logits of the classes (the first outputs); mirror half of training batches."""
    mirrored = network.training and bool(torch.rand(()) < 0.5)
    logits: Tensor = network(normalise(images.flip(3) if mirrored else images))
    return logits[:, : len(CLASSES)]


@torch.no_grad()
def _measure_accuracy(network: nn.Module, settings: PretrainingSettings) -> float:
    images, labels = _draw(settings, FIRST_STIMULUS + settings.n_train, settings.n_test)
    batches = torch.split(images, settings.batch_size)
    found = torch.cat([_classify(network, batch).argmax(dim=1) for batch in batches])
    return float((found == labels).float().mean())
