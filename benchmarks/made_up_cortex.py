"""Made-up subjects with NSD's ROIs at plausible places of fsaverage5.

Which ROIs exist, where they lie and how large they are is invented, at about a sixteenth of NSD's
vertices, as many as fsaverage5 has there. Responses are noise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainables.data.data_directory import manifest_file, vertices_file
from trainables.data.row_columns import row_schema
from trainables.data.rows import RowWriter
from trainables.data.shards import TEST, TRAIN, Manifest, split_digest
from trainables.data.vertex_columns import VERTEX_SCHEMA
from trainables.storage.atomic import hash_files, write_text

DATASET: Final = "nsd"
N_TRAIN, N_TEST = 24, 100
IMAGE_SIZE: Final = 4
SIDES: Final = {"lh": "left", "rh": "right"}
CENTRES: Final = {
    "V1v": (8, -80, -2),
    "V1d": (8, -92, 6),
    "V2v": (12, -76, -8),
    "V2d": (14, -96, 14),
    "V3v": (20, -74, -10),
    "V3d": (20, -94, 20),
    "hV4": (27, -76, -13),
    "EBA": (46, -72, 4),
    "FBA-1": (42, -50, -20),
    "FBA-2": (42, -42, -22),
    "mTL-bodies": (40, -20, -28),
    "OFA": (40, -78, -12),
    "FFA-1": (40, -60, -18),
    "FFA-2": (40, -48, -20),
    "mTL-faces": (38, -30, -24),
    "aTL-faces": (34, -6, -38),
    "OPA": (34, -82, 24),
    "PPA": (28, -46, -10),
    "RSC": (16, -58, 10),
    "OWFA": (38, -84, -8),
    "VWFA-1": (44, -64, -12),
    "VWFA-2": (46, -54, -16),
    "mfs-words": (40, -44, -18),
    "mTL-words": (46, -34, -20),
}
"""Millimetres to the side, to the front, and up."""
SIZES: Final = {"EBA": 150, "PPA": 60, "OPA": 80, "RSC": 50, "FBA-2": 40, "FFA-1": 30}
SMALL, EARLY_SIZE = 18, 45
"""Vertices of a higher ROI that SIZES lacks, and of an early one."""
RARE: Final = (
    *("mTL-bodies", "mTL-faces", "aTL-faces", "mTL-words", "mfs-words"),
    *("VWFA-2", "FBA-1", "OWFA", "FFA-2"),
)
N_LACKED: Final = 9
"""Of the RARE ones of both hemispheres, that each subject lacks: 39 ROIs are left."""

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class MadeUpSubject:
    """A subject's vertices and ROIs, and its responses to the test images."""

    name: str
    fsaverage: Mapping[str, Indices]
    """(n_vertices,) by hemisphere: the place of each column of the responses."""
    rois: Mapping[str, Mapping[str, Indices]]
    """Columns of each ROI, by hemisphere."""
    test: Mapping[str, NDArray[np.float64]]
    """(N_TEST, n_vertices) by hemisphere."""


def write_subject(data: Path, number: int, names: tuple[str, ...] = ()) -> MadeUpSubject:
    """Write a subject's shard; names: of the ROIs to keep, none for all."""
    generator = np.random.default_rng(number)
    name = f"subj{number:02d}"
    places = {side: _place(side, generator) for side in SIDES}
    rare = [(side, roi) for roi in RARE for side in SIDES]
    for place in generator.choice(len(rare), N_LACKED, replace=False):
        side, roi = rare[place]
        del places[side][roi]
    if names:
        places = {side: {k: v for k, v in of.items() if k in names} for side, of in places.items()}
    fsaverage = {side: np.unique(np.concatenate([*of.values()])) for side, of in places.items()}
    rois = {
        side: {roi: np.searchsorted(fsaverage[side], where) for roi, where in of.items()}
        for side, of in places.items()
    }
    n_images = N_TRAIN + N_TEST
    responses = {
        side: generator.standard_normal((n_images, len(of))).astype(np.float32)
        for side, of in fsaverage.items()
    }
    _write(data / f"{DATASET}-{name}", name, fsaverage, rois, responses)
    test = {side: values[N_TRAIN:].astype(np.float64) for side, values in responses.items()}
    return MadeUpSubject(name, fsaverage, rois, test)


def _place(side: str, generator: np.random.Generator) -> dict[str, Indices]:
    """Give each ROI the vertices of the white surface that are nearest to its centre."""
    from nilearn import datasets  # seconds to import

    mesh = datasets.load_fsaverage("fsaverage5")["white_matter"].parts[SIDES[side]]
    found = {}
    for name, (right, front, up) in CENTRES.items():
        early = name[0] == "V" and name[1].isdigit()
        typical = EARLY_SIZE if early or name == "hV4" else SIZES.get(name, SMALL)
        n = max(3, round(typical * generator.lognormal(0, 0.4)))
        centre = np.array([-right if side == "lh" else right, front, up])
        distance = np.linalg.norm(mesh.coordinates - centre - generator.normal(0, 2, 3), axis=1)
        found[name] = np.sort(np.argsort(distance)[:n])
    return found


def _write(
    shard: Path,
    name: str,
    fsaverage: Mapping[str, Indices],
    rois: Mapping[str, Mapping[str, Indices]],
    responses: Mapping[str, NDArray[np.float32]],
) -> None:
    shard.mkdir(parents=True)
    n = N_TRAIN + N_TEST
    n_vertices = {side: len(of) for side, of in fsaverage.items()}
    stimuli = [f"{name}-{k:05d}" for k in range(n)]
    split = [TRAIN] * N_TRAIN + [TEST] * N_TEST
    with RowWriter(shard, row_schema(IMAGE_SIZE, n_vertices)) as rows:
        rows.write(
            {
                "index": pa.array(range(n), pa.int32()),
                "stimulus": pa.array(stimuli),
                "split": pa.array(split),
                "order": pa.array(range(n), pa.int32()),
                "image": pa.array([bytes(3 * IMAGE_SIZE**2)] * n, pa.binary(3 * IMAGE_SIZE**2)),
                **{
                    side: pa.FixedSizeListArray.from_arrays(
                        pa.array(values.reshape(-1)), values.shape[1]
                    )
                    for side, values in responses.items()
                },
            }
        )
        content = rows.close()
    vertices = [one for side in fsaverage for one in _vertices(side, fsaverage[side], rois[side])]
    pq.write_table(pa.Table.from_pylist(vertices, VERTEX_SCHEMA), vertices_file(shard))
    digests = content, split_digest("paper", stimuli, split, list(range(n)))
    _write_manifest(shard, digests, rois, n_vertices)


def _write_manifest(
    shard: Path,
    digests: tuple[str, str],
    rois: Mapping[str, Mapping[str, Indices]],
    n_vertices: dict[str, int],
) -> None:
    """Describe a shard. digests: of its content and its split."""
    content, split = digests
    manifest = Manifest(
        dataset=DATASET,
        subject=shard.name.partition("-")[2],
        image_size=IMAGE_SIZE,
        n_images=N_TRAIN + N_TEST,
        n_train=N_TRAIN,
        n_test=N_TEST,
        n_vertices=n_vertices,
        rois={side: {roi: len(c) for roi, c in of.items()} for side, of in rois.items()},
        split="paper",
        split_digest=split,
        source="made up",
        content=content,
        files=hash_files(shard.iterdir()),
        is_simulated=True,
    )
    write_text(manifest_file(shard), manifest.to_json())


def _vertices(side: str, fsaverage: Indices, rois: Mapping[str, Indices]) -> list[dict[str, Any]]:
    of_vertex: list[list[str]] = [[] for _ in fsaverage]
    for roi, columns in rois.items():
        for column in columns:
            of_vertex[column].append(roi)
    return [
        {
            "hemisphere": side,
            "vertex": column,
            "fsaverage": int(place),
            "noise_ceiling": 0.8,
            "rois": of_vertex[column],
        }
        for column, place in enumerate(fsaverage)
    ]
