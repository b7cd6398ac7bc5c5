"""Made-up results of probes of a programme's backbones: four tasks, few images and classes.

Saliency is of the first task only.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import log_softmax

from trainables.probes import classification, mutual_information, saliency
from trainables.probes.probe import PROBE_KEY, Probed
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Pooled, Trial, digest
from trainables.spec.rois import roi_group_of

TASKS: Final = ("caltech256", "places365", "imagenet", "sun397")
N_IMAGES, N_CLASSES = 10, 7
ACCURACY: Final = 0.458
LOST: Final[dict[tuple[str, str], float]] = {
    ("regression", "early"): 0.24,
    ("regression", "higher"): 0.12,
    ("contrastive", "early"): 0.09,
    ("contrastive", "higher"): 0.05,
    ("pooled-avg", "early"): 0.08,
    ("pooled-avg", "higher"): 0.04,
    ("pooled-const", "early"): 0.07,
    ("pooled-const", "higher"): 0.03,
}
"""Accuracy that each method and group loses, with a spread of at most 0.01."""
BIAS: Final = {"lh": 0.1, "rh": -0.1}
"""Bias of saliency of a fine-tuned backbone, on every image."""
BITS: Final = {"contrastive": 1.5, "pooled-avg": 1.25, "pooled-const": 1.0}


def group_of(model: Trial) -> str:
    """Return the ROI group that a backbone was fine-tuned on."""
    return roi_group_of(model.rois[0].name)


def accuracy_of(model: Trial) -> float:
    """Return the accuracy of a backbone, the same on every task; without spread for untuned."""
    lost = LOST.get((model.method, group_of(model)))
    if lost is None:
        return ACCURACY
    return ACCURACY - lost + 0.01 * (int(digest(model.training_id), 16) / 16**8 - 0.5)


def log_probabilities(probed: Probed, task: str) -> NDArray[np.float64]:
    """Return what a backbone's classifier gives for each image and class, in nats."""
    number = TASKS.index(task)
    shared = np.random.default_rng(number).standard_normal((N_IMAGES, N_CLASSES))
    own = np.random.default_rng([number, int(digest(probed.id), 16)])
    distance = 10 * (ACCURACY - accuracy_of(probed.model))
    moved = shared + distance * own.standard_normal((N_IMAGES, N_CLASSES))
    return np.asarray(log_softmax(moved, axis=1))


def labels_of_task(task: str) -> NDArray[np.int32]:
    """Return the class of each test image."""
    return (np.arange(N_IMAGES, dtype=np.int32) + TASKS.index(task)) % N_CLASSES


def write_probes(runs: RunDirectory, models: Iterable[Trial]) -> None:
    """Write what each backbone's probes would have found: those that apply to it."""
    for model in models:
        probed = Probed(model)
        note = {"id": probed.id, "model": json.loads(model.to_json())}
        for task in TASKS:
            _write(runs, note, _classified(probed, task))
        is_early = group_of(model) == "early" and not isinstance(model.objective, Pooled)
        if is_early or not probed.is_finetuned:
            _write(runs, note, _looked_at(probed, TASKS[0]))
        if isinstance(model.objective, Contrastive | Pooled):
            _write(runs, note, _informed(model))


def _write(
    runs: RunDirectory, note: dict[str, Any], found: tuple[dict[str, Any], pa.Table]
) -> None:
    kind, rows = found
    name = f"{note['id']}-{digest([kind['version'], note['id'], kind['inputs']])}"
    path = runs.probe_file(kind["kind"], name)
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {PROBE_KEY: json.dumps(note | kind)}
    pq.write_table(rows.replace_schema_metadata(metadata), path, compression="none")


def _inputs(task: str) -> dict[str, Any]:
    return {"task": task, "data": digest(task), "layer": "classifier.5", "C": 1.0}


def _classified(probed: Probed, task: str) -> tuple[dict[str, Any], pa.Table]:
    logs, labels = log_probabilities(probed, task), labels_of_task(task)
    columns = {"index": np.arange(N_IMAGES), "label": labels, "log_probabilities": logs.tolist()}
    numbers = {
        "accuracy": accuracy_of(probed.model),
        "log_loss": float(-logs[np.arange(N_IMAGES), labels].mean()),
        "top5": 0.9,
        **{"n_train": 90, "n_test": N_IMAGES, "n_classes": N_CLASSES, "converged": True},
    }
    version = classification.CLASSIFICATION.version
    kind = {"kind": "classification", "version": version, "inputs": _inputs(task)}
    return kind | {"numbers": numbers}, pa.table(columns, schema=classification.SCHEMA)


def _looked_at(probed: Probed, task: str) -> tuple[dict[str, Any], pa.Table]:
    spread = 0.01 * np.random.default_rng(TASKS.index(task)).standard_normal(N_IMAGES)
    bias = BIAS[probed.model.rois[0].hemisphere] if probed.is_finetuned else 0.0
    columns = {
        "index": np.arange(N_IMAGES),
        "label": labels_of_task(task),
        "lateralisation": bias + spread,
        "lateralisation_mirrored": bias - spread,
        "example": [None] * N_IMAGES,
    }
    maps = {f"mean_map{end}": [[0.25, 0.25], [0.25, 0.25]] for end in ("", "_mirrored")}
    inputs = {**_inputs(task), "saliency_layer": "features.12"}
    version = saliency.SALIENCY.version
    kind = {"kind": "saliency", "version": version, "inputs": inputs}
    numbers = {**maps, "n_without_mass": 0}
    return kind | {"numbers": numbers}, pa.table(columns, schema=saliency.SCHEMA)


def _informed(model: Trial) -> tuple[dict[str, Any], pa.Table]:
    """Make the bounds of a model on its ROIs; every other number of theirs is 1."""
    schema = mutual_information.SCHEMA
    numbers = dict.fromkeys((one.name for one in schema), 1.0) | {"n_test": 1477, "n_train": 8364}
    known = {"nats": BITS[model.method] * np.log(2), "ceiling": np.log(1477)}
    rows = [numbers | known | {"roi_id": roi.id} for roi in model.rois]
    inputs = {"rois": [[roi.id, roi.data] for roi in model.rois]}
    version = mutual_information.INFORMATION.version
    kind = {"kind": "information", "version": version, "inputs": inputs, "numbers": {}}
    return kind, pa.Table.from_pylist(rows, schema)
