"""The ingested NSD-synthetic of models' subjects, at the vertices that the models predict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count
from orchestrator.encoding_models.config import ModelDirectory
from orchestrator.evaluate.ood.image_groups import Array, Groups, image_groups
from orchestrator.ingest.algonauts.files import DATASET as NSD
from orchestrator.scores.ood.score_files import ALL_CLASSES
from orchestrator.scores.statistics.noise_ceilings import read_ceilings
from trainables.data.data_directory import (
    DataDirectory,
    class_ceilings_file,
    is_there,
    listed_files,
    stimuli_file,
)
from trainables.data.loading import Subject, read_images, read_subject
from trainables.data.rows import read_rows
from trainables.data.shards import Manifest, read_vertices
from trainables.data.verification import CURE, naming, read_vertex_table, verify
from trainables.spec.interpolation import BILINEAR, Resizing
from trainables.spec.rois import NSD_SYNTHETIC, Roi
from trainables.storage.atomic import read_parquet
from trainables.wording import some


@dataclass(frozen=True)
class SyntheticSubject:
    """A subject's shard of NSD-synthetic; everything large is read when it is used, once."""

    shard: Path
    manifest: Manifest

    @cached_property
    def _subject(self) -> Subject:
        return read_subject(self.shard)

    @cached_property
    def _ceilings(self) -> dict[str, Array]:
        return read_ceilings(self.shard)

    @cached_property
    def _class_ceilings(self) -> dict[tuple[str, str], Array]:
        """The noise ceilings of all vertices, by hemisphere and class."""
        rows = self._read(class_ceilings_file(self.shard)).to_dict("records")
        return {
            (str(row["hemisphere"]), str(row["class"])): np.asarray(row["noise_ceiling"])
            for row in rows
        }

    @cached_property
    def _stimuli(self) -> pd.DataFrame:
        """One row per image, in the order of the responses: stimulus, subclass and class."""
        path = stimuli_file(self.shard)
        table = self._read(path)
        blocks = read_rows(self.shard, ["stimulus"], verify=False)
        names = [name for block in blocks for name in block["stimulus"].to_pylist()]
        if table["stimulus"].tolist() != names:
            raise ValueError(f"{path}: expected the stimuli of its rows, found others; {CURE}")
        return table

    def check_tables(self) -> None:
        """Read the small tables, for what is computed later.

        Raises ValueError with the cure for one that is missing, as from an ingest of an earlier
        version, or damaged, or of other images.
        """
        _ = self._class_ceilings, self._stimuli

    def _read(self, path: Path) -> pd.DataFrame:
        """Read a table of the shard; raise ValueError with the cure where that fails."""
        expected = listed_files(self.shard)
        if path.name not in expected:
            raise ValueError(f"{path}: expected in its manifest, found {sorted(expected)}; {CURE}")
        verify(path, expected[path.name])
        with naming(path):
            table: pd.DataFrame = read_parquet(path).to_pandas()
        return table

    @cached_property
    def images(self) -> Tensor:
        """All images: (n_images, 3, size, size) uint8, on the CPU."""
        return read_images(self.shard, torch.device("cpu"))

    def images_at(self, size: int) -> Tensor:
        """Return the images at one of the sizes that they are stored at, uint8 on the CPU."""
        if size == self.manifest.image_size:
            return self.images
        return read_images(self.shard, torch.device("cpu"), size)

    @cached_property
    def classes(self) -> Array:
        """The class of each image: (n_images,) text."""
        return np.asarray(self._stimuli["class"].to_numpy(), object)

    @cached_property
    def groups(self) -> Groups:
        """The number of each image's group of images that are alike: (n_images,)."""
        return image_groups(self.images, self._stimuli["subclass"].to_numpy(object))

    @cached_property
    def image_keys(self) -> Array:
        """Text for each image, the same for all subjects that saw it: its name and its pixels."""
        pixels = [sha256(one.numpy().tobytes()).hexdigest()[:12] for one in self.images]
        pairs = zip(self._stimuli["stimulus"], pixels, strict=True)
        return np.array([f"{name}:{digest}" for name, digest in pairs], object)

    def responses(self, model: ModelDirectory) -> Array:
        """Return the responses at a model's vertices: (n_images, n_vertices) float32."""
        responses = self._subject.responses[model.config.roi.hemisphere]
        return responses[:, list(model.config.vertices.vertex)]

    def ceilings(self, model: ModelDirectory, image_class: str) -> Array:
        """Return the noise ceilings of a model's vertices: (n_vertices,); NaN if unknown.

        image_class: the images that r is measured on; ALL_CLASSES for all.
        """
        vertices = list(model.config.vertices.vertex)
        side = model.config.roi.hemisphere
        if image_class == ALL_CLASSES:
            return self._ceilings[side][vertices]
        return self._class_ceilings[side, image_class][vertices]


@dataclass(frozen=True)
class Matched:
    """The models of a subject that has NSD-synthetic."""

    subject: SyntheticSubject
    models: tuple[ModelDirectory, ...]


def match_models(
    models: Sequence[ModelDirectory], data: DataDirectory
) -> tuple[list[Matched], list[str]]:
    """Group models by the subjects whose NSD-synthetic they can be scored on; describe the others.

    Raises InputError where there is no such subject, for a model of another data set, of ``--fit
    all``, of other vertices or of another image size, and for simulated data with measured. Raises
    ValueError for NSD-synthetic whose tables are missing or damaged.
    """
    by_subject: dict[str, list[ModelDirectory]] = {}
    lines = [line for one in models if (line := _unfit(one)) is not None]
    for one in models:
        by_subject.setdefault(one.config.roi.subject, []).append(one)
    found, missing = [], []
    for subject, own in by_subject.items():
        shard = data.fetched_shard(f"{NSD_SYNTHETIC}-{subject}")
        if not is_there(shard):
            missing.append(subject)
            continue
        synthetic = SyntheticSubject(shard, Manifest.read(shard))
        synthetic.check_tables()
        fit = [one for one in own if _unfit(one) is None]
        lines += [line for one in fit if (line := _other_data(one, synthetic)) is not None]
        found.append(Matched(synthetic, tuple(own)))
    if lines:
        raise InputError(*lines)
    if not found:
        raise InputError(
            f"{data}: holds no NSD-synthetic of {some(missing)}, whose models these are; run "
            f"python -m orchestrator.ingest nsd-synthetic SRC --out {data}"
        )
    return found, _left_out(missing, by_subject, data)


def _left_out(
    missing: Iterable[str], models: dict[str, list[ModelDirectory]], data: DataDirectory
) -> list[str]:
    names = list(missing)
    n_models = sum(len(models[name]) for name in names)
    if not names:
        return []
    left = count(n_models, "model")
    return [f"left out: {left} of {some(names)}, whose NSD-synthetic is not in {data}"]


def _unfit(model: ModelDirectory) -> str | None:
    """Say why a model can't be scored on any NSD-synthetic; None where it can."""
    config = model.config
    if config.roi.dataset != NSD:
        return (
            f"{model.path}: a model of {config.roi.dataset}, expected one of {NSD}; move it out of "
            "--models"
        )
    if config.fit != "train":
        return (
            f"{model.path}: a model of --fit {config.fit}, whose r of NSD's test images is that of "
            "another readout; export it with --fit train"
        )
    return None


def _other_data(model: ModelDirectory, synthetic: SyntheticSubject) -> str | None:
    """Say why a model does not fit a subject's NSD-synthetic; None where it does."""
    config, manifest, shard = model.config, synthetic.manifest, synthetic.shard
    if config.is_simulated != manifest.is_simulated:
        kinds = ("simulated", "measured") if config.is_simulated else ("measured", "simulated")
        return (
            f"{model.path}: a model of {kinds[0]} responses, but {shard} is {kinds[1]}; give the "
            "--data that it was swept on"
        )
    taken = config.preprocessing.resizing
    stored = [Resizing(size, manifest.interpolation) for size in manifest.image_sizes]
    if taken not in stored:
        how = "" if taken.interpolation == BILINEAR else f" --interpolation {taken.interpolation}"
        sizes = ",".join(map(str, dict.fromkeys((*manifest.image_sizes, taken.size))))
        return (
            f"{model.path}: takes images of {taken}, {shard} has {' and '.join(map(str, stored))}; "
            f"ingest it again with --image-size {sizes}{how}"
        )
    if not _same_vertices(model, synthetic):
        return (
            f"{model.path}: has {config.roi.n_vertices:,} vertices of {config.roi.id}, which are "
            f"not those of {shard}; ingest the NSD that it was swept on, then NSD-synthetic again"
        )
    return None


def _same_vertices(model: ModelDirectory, synthetic: SyntheticSubject) -> bool:
    """Return whether an ROI has the same columns in both data sets, at the same places."""
    roi, columns = model.config.roi, model.config.vertices
    there = read_vertices(synthetic.shard, _synthetic_roi(roi, synthetic))
    if not np.array_equal(there, np.sort(columns.vertex)):
        return False
    frame = read_vertex_table(synthetic.shard).to_pandas()
    of_side = frame[frame["hemisphere"] == roi.hemisphere].set_index("vertex")
    rows = of_side.loc[list(columns.vertex)]
    known = np.array([np.nan if v is None else v for v in columns.fsaverage], np.float64)
    return np.array_equal(rows["fsaverage"].to_numpy(np.float64), known, equal_nan=True)


def _synthetic_roi(roi: Roi, synthetic: SyntheticSubject) -> Roi:
    """Name a model's ROI in NSD-synthetic."""
    content = synthetic.manifest.data
    return Roi(NSD_SYNTHETIC, roi.subject, roi.hemisphere, roi.name, roi.n_vertices, content)
