"""Made-up results of probes: classification, information and saliency of every backbone."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from trainables.probes.classification import CLASSIFICATION
from trainables.probes.classification import SCHEMA as CLASSIFIED
from trainables.probes.mutual_information import INFORMATION
from trainables.probes.mutual_information import SCHEMA as INFORMED
from trainables.probes.probe import Kind, Probed, Result, write_result
from trainables.probes.saliency import SALIENCY
from trainables.probes.saliency import SCHEMA as LOOKED
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Pooled, Regression, Trial, digest
from trainables.spec.rois import roi_group_of

TASK: Final = {"task": "photographs", "data": "made up", "layer": "classifier.5", "C": 1.0}
N_IMAGES, N_CLASSES = 60, 10
CERTAINTY: Final = {
    "untuned": 2.6,
    "contrastive early": 2.1,
    "contrastive higher": 2.35,
    "regression early": 1.5,
    "regression higher": 1.9,
    "pooled-avg early": 1.9,
    "pooled-avg higher": 2.2,
    "pooled-const early": 1.9,
    "pooled-const higher": 2.2,
}
"""Logit of the true class, by method and ROI group."""
MAP: Final = 13
"""Width of a saliency map."""

Numbers = NDArray[np.float64]


def write_probes(runs: RunDirectory, trials: Sequence[Trial]) -> None:
    """Write the probes of all backbones but those of controls."""
    probed = {one.id: one for one in map(Probed, trials) if not one.model.permuted}
    for one in probed.values():
        objective = one.model.objective
        group = roi_group_of(one.model.rois[0].name)
        _write(runs, CLASSIFICATION, one, TASK, _classify(one, group))
        if isinstance(objective, Contrastive | Pooled):
            rois = {"rois": [[roi.id, roi.data] for roi in one.model.rois]}
            _write(runs, INFORMATION, one, rois, _inform(one))
        is_early = isinstance(objective, Contrastive | Regression) and group == "early"
        if is_early or not one.is_finetuned:
            inputs = {**TASK, "saliency_layer": "features.12"}
            _write(runs, SALIENCY, one, inputs, _look(one))


def _write(runs: RunDirectory, kind: Kind, probed: Probed, inputs: Any, result: Result) -> None:
    name = f"{probed.id}-{digest([kind.version, probed.id, inputs])}"
    write_result(runs.probe_file(kind.name, name), kind, probed, inputs, result)


def _table(schema: pa.Schema, columns: dict[str, Any], n: int) -> pa.Table:
    """Make a table of columns; those that are not given are null."""
    filled = {name: columns.get(name, [None] * n) for name in schema.names}
    return pa.Table.from_pandas(pd.DataFrame(filled), schema, preserve_index=False)


def _classify(probed: Probed, group: str) -> Result:
    """Make up logits: what all backbones see, what a method and group changes, and noise."""
    images = np.random.default_rng(0)
    labels = images.integers(0, N_CLASSES, N_IMAGES)
    kind = f"{probed.model.method} {group}" if probed.is_finetuned else "untuned"
    side = probed.model.rois[0].hemisphere if probed.is_finetuned else ""
    logits = images.standard_normal((N_IMAGES, N_CLASSES))
    for seed, scale in ((kind, 0.5), (f"{group} {side}", 0.4), (probed.id, 0.35)):
        own = np.random.default_rng([4, *seed.encode()])
        logits = logits + scale * probed.is_finetuned * own.standard_normal(logits.shape)
    logits[np.arange(N_IMAGES), labels] += CERTAINTY[kind]
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = {"index": range(N_IMAGES), "label": labels, "log_probabilities": list(logs)}
    ranks = (logs > logs[np.arange(N_IMAGES), labels][:, None]).sum(axis=1)
    numbers = {
        "accuracy": float((ranks == 0).mean()),
        "top5": float((ranks < 5).mean()),
        "log_loss": float(-logs[np.arange(N_IMAGES), labels].mean()),
        "n_train": 5 * N_IMAGES,
        "n_test": N_IMAGES,
        "n_classes": N_CLASSES,
        "C": 1.0,
        "converged": True,
    }
    return Result(_table(CLASSIFIED, rows, N_IMAGES), numbers)


def _inform(probed: Probed) -> Result:
    generator = np.random.default_rng([5, *probed.id.encode()])
    rois, level = probed.model.rois, {"early": 2.2, "higher": 1.5}
    n = len(rois)
    nats = level[roi_group_of(rois[0].name)] + generator.normal(0, 0.2, n)
    rows: dict[str, Any] = {
        "roi_id": [roi.id for roi in rois],
        "n_test": [1477] * n,
        "n_train": [8364] * n,
        "temperature": [0.3] * n,
        "ceiling": [float(np.log(1477))] * n,
    }
    for ending, less in (("", 0.0), ("_running", 0.3)):
        rows |= {
            f"beta_train{ending}": [0.2] * n,
            f"nats{ending}": nats - less,
            f"beta_test{ending}": [0.3] * n,
            f"nats_beta_test{ending}": nats - less + 0.15,
        }
    return Result(_table(INFORMED, rows, n), {})


def _look(probed: Probed) -> Result:
    """Make up maps that lie on the side of the visual field that the hemisphere sees."""
    images = np.random.default_rng(6)
    own = np.random.default_rng([7, *probed.id.encode()])
    side = probed.model.rois[0].hemisphere if probed.is_finetuned else ""
    bias = {"lh": -0.04, "rh": 0.04, "": 0.0}[side]
    layout = images.normal(0, 0.2, N_IMAGES)
    rows = {
        "index": range(N_IMAGES),
        "label": images.integers(0, N_CLASSES, N_IMAGES),
        "lateralisation": bias + layout + own.normal(0, 0.05, N_IMAGES),
        "lateralisation_mirrored": bias - layout + own.normal(0, 0.05, N_IMAGES),
    }
    numbers = {"mean_map": _bump(-bias), "mean_map_mirrored": _bump(-bias), "n_without_mass": 0}
    return Result(_table(LOOKED, rows, N_IMAGES), numbers)


def _bump(shift: float) -> list[list[float]]:
    """Make a map of mass 1 around the centre, shifted to the right by a share of its width."""
    place = np.linspace(-1, 1, MAP)
    values = np.exp(-2 * ((place - 4 * shift) ** 2 + (place[:, None]) ** 2))
    found: list[list[float]] = (values / values.sum()).tolist()
    return found
