"""A subject's shards on disk: Arrow schemas, manifest and vertices.

``DATA/nsd-subj01/`` holds ``rows-00000.parquet …`` (one row per image with its responses),
``images-336-00000.parquet …`` for each further size of the images, ``vertices.parquet`` (one row
per vertex) and ``manifest.json``, which is written last: a directory without a manifest is
incomplete, and is ignored.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa

from trainables.data.data_directory import (
    DataDirectory,
    RowKind,
    further_size,
    image_kind,
    is_there,
    manifest_file,
)
from trainables.data.row_columns import image_schema, row_schema
from trainables.data.verification import read_vertex_table
from trainables.spec import Roi, digest
from trainables.spec.fields import Count, Flag, Int, Name, Size, Text
from trainables.spec.interpolation import BILINEAR, Interpolation
from trainables.spec.records import read_record, record
from trainables.spec.rois import ALL_VERTICES, ROI_ORDER, SIDES, Hemisphere
from trainables.spec.values import require
from trainables.wording import some

SCHEMA_VERSION: Final = 1

Names = np.ndarray[Any, np.dtype[Any]]
Rows = np.ndarray[Any, np.dtype[np.int64]]

TRAIN: Final = "train"
TEST: Final = "test"


@record
class Manifest:
    """Description of a subject's directory, written after all its other files."""

    _derived = ("data",)

    dataset: Name
    subject: Name
    image_size: Count
    n_images: Size
    n_train: Size
    n_test: Size
    n_vertices: dict[Hemisphere, Size]
    rois: dict[Hemisphere, dict[Name, Count]]
    """Number of vertices of each ROI: ``{"lh": {"V1v": 704, …}, "rh": …}``, without empty ROIs."""
    split: Text
    split_digest: Text
    source: Text
    """Digest of the source's files: small ones by content, others by size."""
    content: Text
    """Digest of the images, responses and ROI membership as written."""
    files: dict[Name, Text]
    """SHA-256 of each other file of the directory."""
    schema_version: Int = SCHEMA_VERSION
    choices: dict[Text, Text] = field(default_factory=dict)
    """Further ingest settings by name; none for the Algonauts layout."""
    is_simulated: Flag = False
    """Whether images and responses are simulated: no measurement of a brain."""
    noise_ceiling_formula: Text | None = None
    """How the noise ceilings were computed; None where there are none, or where they were given."""
    n_trials: Size | None = None
    """Single trials of the training images, which are kept; None where images have means alone."""
    further_images: dict[Name, Text] = field(default_factory=dict)
    """Digests of the same images at further sizes, by their pixels, such as ``"336"``."""
    interpolation: Interpolation = BILINEAR
    """How the images of all sizes were resized, antialiased by Pillow."""

    def __post_init__(self) -> None:
        require(
            all(map(str.isdecimal, self.further_images)),
            f"further_images: expected sizes in pixels, found {', '.join(self.further_images)}",
        )
        require(
            all(ALL_VERTICES not in rois for rois in self.rois.values()),
            f"rois: {ALL_VERTICES!r} names the ROI of all vertices of a hemisphere; rename the ROI",
        )

    @property
    def image_sizes(self) -> tuple[int, ...]:
        """Sizes in pixels that the images are stored at; the first is that of the rows."""
        return (self.image_size, *map(int, self.further_images))

    def images_at(self, shard: Path, image_size: int | None) -> tuple[int, RowKind]:
        """Return the size of some images, and the kind of files that hold them.

        image_size: one of image_sizes; None: that of the rows. Raises ValueError for another.
        """
        if image_size is None or image_size == self.image_size:
            return self.image_size, "rows"
        if image_size not in self.image_sizes:
            raise ValueError(
                f"{shard}: expected images of {image_size} pixels, found those of "
                f"{some(self.image_sizes)}; ingest again with a further --image-size"
            )
        return image_size, image_kind(image_size)

    def schema_of(self, kind: RowKind) -> pa.Schema:
        """Return the Arrow schema of the rows, or of images at a further size."""
        if (size := further_size(kind)) is not None:
            return image_schema(size)
        counts_trials = self.n_trials is not None
        return row_schema(self.image_size, self.n_vertices, counts_trials=counts_trials)

    @property
    def data(self) -> str:
        """Digest of everything that affects a score: images, responses, ROI membership, split.

        Images of further sizes are the same pictures, so adding a size changes no trial's id.
        """
        return digest(
            [self.content, self.split_digest, self.image_size, self.rois, self.schema_version]
        )

    def to_json(self) -> str:
        """Serialise to indented JSON."""
        content = asdict(self)
        if not self.choices:
            del content["choices"]
        if not self.is_simulated:
            del content["is_simulated"]
        for name in ("noise_ceiling_formula", "n_trials"):
            if content[name] is None:
                del content[name]
        if not self.further_images:
            del content["further_images"]
        if self.interpolation == BILINEAR:
            del content["interpolation"]
        return json.dumps({**content, "data": self.data}, indent=2) + "\n"

    @classmethod
    def read(cls, shard: Path) -> Self:
        """Read a subject's manifest; raise ValueError when it is missing or invalid."""
        cure = f"remove {shard} and ingest this subject again"
        try:
            return read_record(manifest_file(shard), cls, cure)
        except FileNotFoundError as error:
            raise ValueError(f"{manifest_file(shard)}: no such file; {cure}") from error

    @property
    def roi_names(self) -> list[str]:
        """Return the names of the ROIs of all hemispheres, sorted."""
        return sorted({roi_name for rois in self.rois.values() for roi_name in rois})


def any_simulated(data: DataDirectory, shards: Iterable[str]) -> bool:
    """Return whether any of the named subjects that are there is simulated."""
    there = [data.shard(name) for name in dict.fromkeys(shards)]
    return any(Manifest.read(shard).is_simulated for shard in there if is_there(shard))


def list_rois(data: DataDirectory, *, whole: bool = False) -> list[Roi]:
    """List the ROIs of a data directory, sorted by subject, hemisphere and ROI_ORDER.

    whole: list also ALL_VERTICES of each hemisphere, an ROI that no manifest names.
    Raises ValueError when there is no ingested subject or a manifest can't be read.
    """
    shards = data.shards()
    _check_names(data, shards)
    if not shards:
        raise ValueError(
            f"{data}: no ingested subject found (expected {manifest_file(Path('SUBJECT'))}); "
            "give another --data, or ingest your data: python -m orchestrator.ingest --help"
        )
    manifests = [Manifest.read(shard) for shard in shards]
    return [
        Roi(m.dataset, m.subject, hemisphere, roi_name, n_vertices, m.data)
        for m in manifests
        for hemisphere in SIDES
        for roi_name, n_vertices in _sizes(m, hemisphere, whole=whole)
    ]


def _sizes(manifest: Manifest, hemisphere: str, *, whole: bool) -> list[tuple[str, int]]:
    """List the ROIs of a hemisphere with their numbers of vertices, in the order of ROI_ORDER."""
    sizes = manifest.rois.get(hemisphere, {})
    n_vertices = manifest.n_vertices.get(hemisphere, 0)
    every = [(ALL_VERTICES, n_vertices)] if whole and n_vertices else []
    return [*((name, sizes[name]) for name in sorted(sizes, key=_roi_rank)), *every]


def _check_names(data: DataDirectory, shards: Collection[Path]) -> None:
    """Raise ValueError for a subject whose directory was renamed."""
    for shard, name in data.misnamed().items():
        if data.shard(name) not in shards:
            raise ValueError(
                f"{shard}: expected a directory named {name}, as in its manifest; rename it to "
                f"{data.shard(name)}, or move it out of {data}"
            )


def describe_copies(data: DataDirectory) -> tuple[str, ...]:
    """Name the copies of subjects that are left out, in one line; nothing where there are none."""
    copies = sorted(map(str, data.misnamed()))
    if not copies:
        return ()
    return (
        f"left out: {some(copies)}, which by their manifests are copies of other subjects; move "
        f"them out of {data}",
    )


def _roi_rank(roi_name: str) -> tuple[int, str]:
    return (ROI_ORDER.index(roi_name) if roi_name in ROI_ORDER else len(ROI_ORDER), roi_name)


def split_digest(
    split: str, stimuli: Sequence[str], sides: Sequence[str], orders: Sequence[int]
) -> str:
    """Hash a split: its name, and each image's stimulus id, side and position in its order."""
    return digest([split, list(stimuli), tuple(sides), tuple(orders)])


def split_rows(shard: Path, manifest: Manifest, sides: Names, orders: Rows) -> tuple[Rows, Rows]:
    """Return the rows of the training and of the test images, in the order of the split.

    sides: (n_images,) train or test. orders: (n_images,) positions in the order of the split.
    Raises ValueError when they differ from the manifest.
    """
    in_order = np.argsort(orders, kind="stable")
    train, test = (in_order[sides[in_order] == side] for side in (TRAIN, TEST))
    expected, found = (manifest.n_train, manifest.n_test), (len(train), len(test))
    if found != expected or not np.array_equal(orders[in_order], np.arange(manifest.n_images)):
        raise ValueError(
            f"{shard}: expected {expected[0]} training and {expected[1]} test images in an order, "
            f"as in its manifest, found {found[0]} and {found[1]}; remove it and ingest again"
        )
    return train, test


def read_vertices(shard: Path, roi: Roi) -> "np.ndarray[Any, np.dtype[np.int32]]":
    """Read an ROI's vertices: (n_vertices,) columns of its hemisphere's responses, ascending.

    Those of ALL_VERTICES are all of the hemisphere.
    """
    frame = read_vertex_table(shard, ["hemisphere", "vertex", "rois"]).to_pandas()
    chosen = frame[frame["hemisphere"] == roi.hemisphere]
    is_member = [roi.name == ALL_VERTICES or roi.name in roi_names for roi_names in chosen["rois"]]
    return np.sort(chosen.loc[is_member, "vertex"].to_numpy(dtype=np.int32))


def check_planned(shard: Path, manifest: Manifest, data: str) -> None:
    """Raise ValueError when a subject's data is not that of a digest, which a trial names."""
    if manifest.data != data:
        raise ValueError(
            f"{shard}: its content is {manifest.data}, the trial was planned on {data}; plan "
            "again, or ingest the data that was planned on"
        )


def read_planned_vertices(data: DataDirectory, roi: Roi) -> "np.ndarray[Any, np.dtype[np.int32]]":
    """Read an ROI's vertices: (n_vertices,) columns of its hemisphere's responses, ascending.

    Raises ValueError when the subject's data, or the number of vertices, is not what the trial was
    planned with.
    """
    shard = data.shard(roi.shard)
    check_planned(shard, Manifest.read(shard), roi.data)
    vertices = read_vertices(shard, roi)
    if len(vertices) != roi.n_vertices:
        raise ValueError(
            f"{roi.id}: expected {roi.n_vertices} vertices, as planned, found {len(vertices)} in "
            f"{shard}; plan the sweep again"
        )
    return vertices
