"""The scores of one model on NSD-synthetic, over all images and by class, as a Parquet file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.encoding_models.config import ModelConfig, ModelDirectory
from orchestrator.evaluate.ood.synthetic_subjects import Array, SyntheticSubject
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses, standardise
from trainables.encoding.refit import correlate_columns
from trainables.spec import Untuned, digest
from trainables.spec.evaluation import training_of
from trainables.spec.rois import roi_group_of
from trainables.spec.setting import setting_of
from trainables.storage.atomic import read_parquet, write_parquet

VERSION: Final = 1
"""Of the scores: raised where the same data and model get other ones."""
ALL_CLASSES: Final = "all"
FEWEST_IMAGES: Final = 4
"""A class of fewer images has no scores: r of three images says nothing."""
SOURCES_KEY: Final = b"cortex_sweep.sources"

_TEXT, _NUMBERS = pa.string(), pa.list_(pa.field("item", pa.float64()))
SCHEMA: Final = pa.schema(
    [
        pa.field("model", _TEXT, nullable=False),
        pa.field("dataset", _TEXT, nullable=False),
        pa.field("subject", _TEXT, nullable=False),
        pa.field("hemisphere", _TEXT, nullable=False),
        pa.field("roi", _TEXT, nullable=False),
        pa.field("group", _TEXT, nullable=False),
        pa.field("roi_id", _TEXT, nullable=False),
        pa.field("method", _TEXT, nullable=False),
        pa.field("setting", _TEXT, nullable=False),
        pa.field("seed", _TEXT),
        pa.field("layer", _TEXT, nullable=False),
        pa.field("image_class", _TEXT, nullable=False),
        pa.field("n_images", pa.int32(), nullable=False),
        pa.field("vertex", pa.list_(pa.field("item", pa.int32())), nullable=False),
        pa.field("r", _NUMBERS, nullable=False),
        pa.field("r_in", _NUMBERS, nullable=False),
        pa.field("noise_ceiling", _NUMBERS, nullable=False),
        pa.field("noise_ceiling_in", _NUMBERS, nullable=False),
        pa.field("r_mean", pa.float64()),
        pa.field("r_in_mean", pa.float64()),
        pa.field("standard_error_in", pa.float64()),
        pa.field("image", pa.list_(pa.field("item", _TEXT)), nullable=False),
        pa.field("effect", _NUMBERS, nullable=False),
        pa.field("is_simulated", pa.bool_(), nullable=False),
    ]
)
"""One row per class of images, and one for all of them; docs/encoding-models.md says what each
column means."""


@dataclass(frozen=True)
class _Measured:
    """A model's predictions beside the measured responses: (n_images, n_vertices) each."""

    config: ModelConfig
    predicted: Array
    responses: Array
    ceilings: Array

    def row(self, chosen: Array, subject: SyntheticSubject, name: str) -> dict[str, Any]:
        """Score a class of images. chosen: (n_images,) bool."""
        measured, predicted = self.responses[chosen], self.predicted[chosen]
        known = MeasuredResponses(measured)
        varies = known.varies & np.isfinite(standardise(predicted)).all(axis=0)
        r = np.where(varies, correlate_columns(measured, predicted), np.nan)
        r_in, ceiling_in = (
            np.array([np.nan if v is None else v for v in column], np.float64)
            for column in (self.config.vertices.r, self.config.vertices.noise_ceiling)
        )
        averaged = varies & np.isfinite(r_in)
        mean, effects = (None, np.zeros(0))
        if averaged.any():
            mean, effects = known.mean_r(predicted, averaged)
        return {
            "image_class": name,
            "n_images": int(chosen.sum()),
            "r": r,
            "r_in": r_in,
            "noise_ceiling": self.ceilings.astype(np.float64),
            "noise_ceiling_in": ceiling_in,
            "r_mean": mean,
            "r_in_mean": float(r_in[averaged].mean()) if averaged.any() else None,
            "image": subject.image_keys[chosen] if averaged.any() else [],
            "effect": effects,
        }


def score_model(model: ModelDirectory, subject: SyntheticSubject, predicted: Array) -> pa.Table:
    """Compare a model's predictions of all images with the measured responses: by SCHEMA.

    predicted: (n_images, n_vertices). A vertex that is constant has no r.
    """
    measured = _Measured(model.config, predicted, subject.responses(model), subject.ceilings(model))
    constants = _describe(model.config)
    rows = [
        {**constants, **measured.row(chosen, subject, name)}
        for name, chosen in _classes(subject.classes)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def _classes(classes: Array) -> Iterator[tuple[str, Array]]:
    """Yield all images, then those of each class in the order of the images."""
    yield ALL_CLASSES, np.ones(len(classes), bool)
    for name in dict.fromkeys(classes.tolist()):
        chosen = classes == name
        if chosen.sum() >= FEWEST_IMAGES:
            yield name, chosen


def _describe(config: ModelConfig) -> dict[str, Any]:
    trial = training_of(config.trial)
    return {
        "model": config.name,
        "dataset": config.roi.dataset,
        "subject": config.roi.subject,
        "hemisphere": config.roi.hemisphere,
        "roi": config.roi.name,
        "group": roi_group_of(config.roi.name),
        "roi_id": config.roi.id,
        "method": config.method,
        "setting": setting_of(config.trial).digest,
        "seed": None if isinstance(trial.objective, Untuned) else str(trial.seed),
        "layer": config.layer,
        "vertex": config.vertices.vertex,
        "standard_error_in": _standard_error(config),
        "is_simulated": config.is_simulated,
    }


def _standard_error(config: ModelConfig) -> float | None:
    """Return the standard error over NSD's test images, from the model's 95 % interval."""
    from scipy.special import stdtrit  # only needed here

    score = config.score
    if score.low is None or score.high is None:
        return None
    return float((score.high - score.low) / 2 / stdtrit(score.n_test - 1, 0.975))


def sources_of(model: ModelDirectory, subject: SyntheticSubject) -> str:
    """Digest everything that a model's scores are computed from."""
    files = sorted(subject.manifest.files.items())
    return digest([VERSION, str(SCHEMA), model.config.to_json(), subject.manifest.data, files])


def write_scores(path: Path, scores: pa.Table, sources: str) -> None:
    """Write a model's scores atomically, with the digest of their sources."""
    write_parquet(path, scores.replace_schema_metadata({SOURCES_KEY: sources.encode()}))


def is_written(path: Path, sources: str) -> bool:
    """Return whether a file has a model's scores from these sources; a damaged one has not."""
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return False
    recorded: bytes | None = (schema.metadata or {}).get(SOURCES_KEY)
    return recorded == sources.encode() and schema.equals(SCHEMA)


def read_scores(path: Path) -> pa.Table:
    """Read a model's scores; raise ValueError naming a file that is damaged or of other columns."""
    runs = path.parent.parent
    cure = (
        f"remove {path.parent}, and run: python -m orchestrator.evaluate ood --models MODELS "
        f"--out {runs}"
    )
    try:
        table = read_parquet(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: damaged or missing ({error}); {cure}") from error
    if not table.schema.equals(SCHEMA):
        raise ValueError(
            f"{path}: expected columns {SCHEMA.names}, found {table.schema.names}; {cure}"
        )
    return table
