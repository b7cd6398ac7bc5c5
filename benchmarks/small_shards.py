"""Write a tiny data directory without ingest.

Images are sums of a few smooth patterns; responses are linear in the weights of these patterns,
plus noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from trainables.data.data_directory import DataDirectory, manifest_file, vertices_file
from trainables.data.row_columns import row_schema
from trainables.data.rows import RowWriter
from trainables.data.shards import (
    TEST,
    TRAIN,
    Manifest,
    list_rois,
    split_digest,
)
from trainables.data.vertex_columns import VERTEX_SCHEMA
from trainables.models.backbones import build
from trainables.models.weights_name import weights_name
from trainables.spec import Roi
from trainables.storage.atomic import hash_files, write_text

DATASET: Final = "nsd"
N_VERTICES: Final = {"lh": 12, "rh": 10}
ROIS: Final = {
    "lh": {"V1v": range(8), "V2d": range(4, 10), "hV4": range(8, 12)},
    "rh": {"V1v": range(6), "EBA": range(5, 10)},
}
"""Columns of each ROI: lh hV4 has 4 vertices, and ROIs overlap."""
N_PATTERNS: Final = 8
NOISE: Final = 0.5
"""Standard deviation of the noise, relative to that of the signal."""


def write_shards(
    data: Path,
    subjects: Sequence[str] = ("subj01",),
    n_images: int = 60,
    image_size: int = 64,
    seed: int = 0,
    shared_patterns: int | None = None,
) -> list[Roi]:
    """Write subjects as ingest does, with a quarter of the images for testing; list all ROIs.

    shared_patterns: seed of patterns that all subjects share; None for separate patterns.
    """
    for number, subject in enumerate(subjects):
        generator = np.random.default_rng([seed, number])
        shared = None if shared_patterns is None else np.random.default_rng(shared_patterns)
        _write_subject(data, subject, (n_images, image_size), generator, shared)
    return list_rois(DataDirectory(data))


def plant(
    n_images: int,
    image_size: int,
    n_vertices: int,
    generator: np.random.Generator,
    shared: np.random.Generator | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Draw images (n, 3, size, size) and their responses (n, n_vertices).

    shared: generator of the patterns, if they are not the subject's own.
    """
    strengths = generator.standard_normal((n_images, N_PATTERNS))
    coarse = (shared or generator).standard_normal((N_PATTERNS, 3, 4, 4))
    roi = image_size // 4
    patterns = coarse.repeat(roi, axis=2).repeat(roi, axis=3)
    images = np.empty((n_images, *patterns.shape[1:]), np.uint8)
    for few in np.array_split(np.arange(n_images), -(-n_images // 256)):  # in float64, for a while
        drawn = 128 + 25 * np.einsum("nk,kcyx->ncyx", strengths[few], patterns)
        images[few] = drawn.clip(0, 255)
    weights = generator.standard_normal((N_PATTERNS, n_vertices)) / np.sqrt(N_PATTERNS)
    noise = NOISE * generator.standard_normal((n_images, n_vertices))
    return images, (strengths @ weights + noise).astype(np.float32)


def write_weights(path: Path, seed: int = 0) -> str:
    """Save random weights of narrow-alexnet as safetensors; return their name."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        save_file(build("narrow-alexnet").state_dict(), path)
    return weights_name(path)


def _write_subject(
    data: Path,
    subject: str,
    sizes: tuple[int, int],
    generator: np.random.Generator,
    shared: np.random.Generator | None,
) -> None:
    n_images, image_size = sizes
    images, responses = plant(n_images, image_size, sum(N_VERTICES.values()), generator, shared)
    order = np.argsort(generator.permutation(n_images))
    n_train = n_images * 3 // 4
    split = [TRAIN if place < n_train else TEST for place in order]
    stimuli = [f"{subject}-{i:05d}" for i in range(n_images)]
    write_subject(data, subject, PlantedRows(stimuli, split, order, images, responses))


@dataclass(frozen=True)
class PlantedRows:
    """A subject's rows: ids, split, order, images (n, 3, s, s) and responses (n, 22)."""

    stimuli: Sequence[str]
    split: Sequence[str]
    order: NDArray[np.int64]
    images: NDArray[np.uint8]
    responses: NDArray[np.float32]


def write_subject(
    data: Path,
    subject: str,
    planted: PlantedRows,
    dataset: str = DATASET,
    roi_names: Mapping[str, Mapping[str, range]] = ROIS,
) -> None:
    """Write one subject's shard; lh has the first 12 columns of the responses, rh the others."""
    shard = data / f"{dataset}-{subject}"
    shard.mkdir(parents=True)
    n_images, image_size = len(planted.images), planted.images.shape[-1]
    n_train = planted.split.count(TRAIN)
    content = _write_rows(shard, planted)
    pq.write_table(_vertex_table(roi_names), vertices_file(shard))
    manifest = Manifest(
        dataset=dataset,
        subject=subject,
        image_size=image_size,
        n_images=n_images,
        n_train=n_train,
        n_test=n_images - n_train,
        n_vertices=N_VERTICES,
        rois={
            side: {roi_name: len(columns) for roi_name, columns in roi_names[side].items()}
            for side in roi_names
        },
        split="paper",
        split_digest=split_digest("paper", planted.stimuli, planted.split, planted.order.tolist()),
        source="planted",
        content=content,
        files=hash_files(shard.iterdir()),
    )
    write_text(manifest_file(shard), manifest.to_json())


def _write_rows(shard: Path, planted: PlantedRows) -> str:
    """Write the rows of a subject; return their digest."""
    lh, rh = np.split(planted.responses, [N_VERTICES["lh"]], axis=1)
    with RowWriter(shard, row_schema(planted.images.shape[-1], N_VERTICES)) as rows:
        rows.write(
            {
                "index": pa.array(range(len(planted.images)), pa.int32()),
                "stimulus": pa.array(planted.stimuli),
                "split": pa.array(planted.split),
                "order": pa.array(planted.order, pa.int32()),
                "image": pa.array(
                    [image.tobytes() for image in planted.images],
                    pa.binary(planted.images[0].nbytes),
                ),
                "lh": _as_lists(lh),
                "rh": _as_lists(rh),
            }
        )
        return rows.close()


def _as_lists(rows: NDArray[np.float32]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def _vertex_table(roi_names: Mapping[str, Mapping[str, range]]) -> pa.Table:
    rows = [
        {
            "hemisphere": hemisphere,
            "vertex": vertex,
            "fsaverage": vertex,
            "noise_ceiling": 0.9,
            "rois": [
                roi_name for roi_name, columns in roi_names[hemisphere].items() if vertex in columns
            ],
        }
        for hemisphere, n_vertices in N_VERTICES.items()
        for vertex in range(n_vertices)
    ]
    return pa.Table.from_pylist(rows, VERTEX_SCHEMA)
