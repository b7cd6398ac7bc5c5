"""A simulated encoding problem: images on disk, ROIs and a backbone."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from torch import nn

from orchestrator.ingest.images import decode_image
from orchestrator.ingest.simulate.cortex import HOMES, build_cortex
from orchestrator.ingest.simulate.scenes import compose, render
from trainables.encoding.protocols import Split
from trainables.models.backbones import build
from trainables.spec import Encoding, Roi
from trainables.spec.rois import HEMISPHERES, STREAMS

PACKED_SIZE: Final = 425
"""Width and height of NSD's images in the Algonauts packaging, in pixels."""
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """Images, responses and ROIs of a simulated subject; the first ROI is compared."""

    network: nn.Module
    files: list[Path]
    """PNG files for the plain script."""
    ingested: Path
    """The same images after ingest, for this package: (n, 3, size, size) uint8."""
    size: int
    responses: dict[str, Array]
    rois: list[tuple[Roi, Array]]
    split: Split
    encoding: Encoding


def make_problem(options: argparse.Namespace, home: Path) -> Problem:
    """Render images, build an untrained AlexNet, and make responses linear in coarse pixels."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    files = [home / f"image-{number:05d}.png" for number in range(options.images)]
    for number, path in enumerate(files):
        Image.fromarray(render(compose(0, number), PACKED_SIZE)).save(path)
    images = np.stack([decode_image(path, options.size) for path in files])
    np.save(home / "images.npy", images)
    sizes = [options.vertices, *other_rois(options.other_vertices)]
    coarse = nn.functional.adaptive_avg_pool2d(torch.from_numpy(images).float(), 14).flatten(1)
    signal = coarse.numpy() @ rng.standard_normal((coarse.shape[1], sum(sizes)))
    signal = (signal - signal.mean(0)) / signal.std(0)
    Y = signal + rng.standard_normal(signal.shape)
    ends = np.cumsum(sizes)
    rois = [
        (Roi("made-up", "s1", "lh", f"roi-{i}", int(n), "none"), np.arange(end - n, end))
        for i, (n, end) in enumerate(zip(sizes, ends, strict=True))
    ]
    order = torch.randperm(options.images, generator=generator).numpy()
    n_train = int(0.85 * options.images)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build("alexnet").eval()
    return Problem(
        network,
        files,
        home / "images.npy",
        options.size,
        {"lh": Y.astype(np.float32)},
        rois,
        Split(order[:n_train], order[n_train:], options.images),
        Encoding(protocols=("nested", "paper")),
    )


def other_rois(n_vertices: int | None) -> list[int]:
    """Return the sizes of the other ROIs: a simulated subject's, or 318 each up to n_vertices."""
    if n_vertices is not None:
        return [318] * (n_vertices // 318)
    hemispheres = [build_cortex(0, 1, hemisphere) for hemisphere in HEMISPHERES]
    sizes = [
        len(h.members(roi_name))
        for h in hemispheres
        for roi_name in HOMES
        if roi_name not in STREAMS
    ]
    return [size for size in sizes if size]
