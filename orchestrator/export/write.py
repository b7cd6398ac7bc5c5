"""Write encoding models as directories, each complete or absent; shared files once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from orchestrator.encoding_models.card import write_card
from orchestrator.encoding_models.config import (
    BACKBONE,
    CARD,
    CONFIG,
    PCA,
    READOUT,
    Fit,
    ModelConfig,
    ModelDirectory,
    Preprocessing,
    Score,
    VertexColumns,
    Weights,
    find_models,
    model_name,
)
from orchestrator.encoding_models.files import (
    link_or_copy,
    write_backbone,
    write_projection,
    write_readout,
)
from orchestrator.export.refit import HALF_CHANGE, FittedModel, FittedWork
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest
from trainables.data.verification import read_vertex_table
from trainables.results.provenance import code_version
from trainables.storage.atomic import write_text
from trainables.storage.local_files import rename
from trainables.storage.temporary_files import temporary_name

MESHES: Final = ("fsaverage", "fslr")


@contextmanager
def temporary_directory(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new directory that is removed at the end, unless the block has renamed it.

    So is its parent, if it was made for it and is empty.
    """
    was_there = parent.exists()
    directory = parent / temporary_name(name)
    directory.mkdir(parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if not was_there:
            with suppress(OSError):  # it holds models
                parent.rmdir()


@dataclass(frozen=True)
class _SharedFile:
    """A file that several models have."""

    path: Path
    sha256: str


class ModelWriter:
    """Writes models into a directory; a file that one of its models has already is linked."""

    def __init__(self, out: Path, data: DataDirectory, fit: Fit, *, half: bool) -> None:
        self._out, self._data, self._fit, self._half = out, data, fit, half
        self._written: dict[tuple[str, str], Path] = {}
        for model in find_models(out) if any(out.glob(f"[!.]*/{CONFIG}")) else []:
            self._remember(model)

    def write(self, work: FittedWork) -> list[ModelConfig]:
        """Write the models of a trial; return their descriptions, in order."""
        with temporary_directory(self._out, "shared") as staging:
            digest = write_backbone(staging / BACKBONE, work.network)
            backbone = self._known(BACKBONE, _SharedFile(staging / BACKBONE, digest))
            layers = list(dict.fromkeys(one.chosen.layer for one in work.models))
            written = []
            for number, layer in enumerate(layers):
                models = [one for one in work.models if one.chosen.layer == layer]
                change = max(one.half_change for one in models)
                half = self._half and change < HALF_CHANGE
                path = staging / f"{number}-{PCA}"
                digest = write_projection(path, models[0].projection, half=half)
                pca = self._known(PCA, _SharedFile(path, digest))
                written += [
                    self._write_one(one, work, (backbone, pca), half=half) for one in models
                ]
        return written

    def _known(self, name: str, file: _SharedFile) -> _SharedFile:
        """Return the file of the same content that a written model has, or the one given."""
        path = self._written.get((name, file.sha256))
        return file if path is None else _SharedFile(path, file.sha256)

    def _remember(self, model: ModelDirectory) -> None:
        for name, sha256 in model.config.weights.sha256.items():
            self._written.setdefault((name, sha256), model.path / name)

    def _write_one(
        self,
        model: FittedModel,
        work: FittedWork,
        shared: tuple[_SharedFile, _SharedFile],
        *,
        half: bool,
    ) -> ModelConfig:
        name = model_name(model.chosen.work_item, model.chosen.roi)
        backbone, pca = shared
        with temporary_directory(self._out, name) as directory:
            link_or_copy(backbone.path, directory / BACKBONE)
            link_or_copy(pca.path, directory / PCA)
            digest = write_readout(directory / READOUT, model.readout, half=half)
            sha256 = {BACKBONE: backbone.sha256, PCA: pca.sha256, READOUT: digest}
            change = model.half_change if self._half else None
            config = self._describe(name, model, work, Weights(sha256, half, change))
            write_text(directory / CARD, write_card(config))
            write_text(directory / CONFIG, config.to_json())
            rename(directory, self._out / name)
        self._remember(ModelDirectory(self._out / name, config))
        return config

    def _describe(
        self, name: str, model: FittedModel, work: FittedWork, weights: Weights
    ) -> ModelConfig:
        chosen, manifest = model.chosen, work.subject.subject.manifest
        low, high = model.interval or (None, None)
        known = chosen.r[~np.isnan(chosen.r)]
        return ModelConfig(
            name=name,
            trial=chosen.work_item,
            roi=chosen.roi,
            layer=chosen.layer,
            fit=self._fit,
            n_fitted=model.n_fitted,
            n_trials=model.n_trials,
            preprocessing=Preprocessing.of(
                chosen.work_item.backbone, manifest.image_size, manifest.interpolation
            ),
            score=Score(
                protocol=chosen.protocol,
                n_test=chosen.n_test,
                r_mean=float(known.mean()) if len(known) else None,
                low=low,
                high=high,
                n_overlap=chosen.n_overlap,
                n_candidates=chosen.n_candidates,
                chosen_by=chosen.chosen_by,
            ),
            vertices=self._vertices(model, manifest),
            split=manifest.split,
            split_digest=manifest.split_digest,
            weights=weights,
            is_simulated=manifest.is_simulated,
            code=code_version(),
        )

    def _vertices(self, model: FittedModel, manifest: Manifest) -> VertexColumns:
        chosen = model.chosen
        shard = self._data.shard(f"{manifest.dataset}-{manifest.subject}")
        frame = read_vertex_table(shard).to_pandas()
        of_side = frame[frame["hemisphere"] == chosen.roi.hemisphere].set_index("vertex")
        rows = of_side.loc[chosen.vertex]
        meshes = {name: rows.get(name, rows["fsaverage"] * np.nan) for name in MESHES}
        return VertexColumns(
            vertex=tuple(chosen.vertex.tolist()),
            fsaverage=_whole(meshes["fsaverage"]),
            fslr=_whole(meshes["fslr"]),
            noise_ceiling=_numbers(rows["noise_ceiling"]),
            r=_numbers(chosen.r),
            alpha=_numbers(chosen.alpha),
        )


def _numbers(values: object) -> tuple[float | None, ...]:
    return tuple(None if np.isnan(v) else v for v in np.asarray(values, np.float64).tolist())


def _whole(values: object) -> tuple[int | None, ...]:
    return tuple(None if v is None else int(v) for v in _numbers(values))
