"""Where trunks of early ROIs look, by Grad-CAM: on a task's test images and on their mirrors."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from trainables.data.tasks import read_labels, read_task_batches
from trainables.probes.classification import CLASSIFICATION, head_file, read_head
from trainables.probes.grad_cam import Classifier, lateralisation, salience_maps
from trainables.probes.probe import Kind, LoadedTrunk, Probed, Result, Workbench
from trainables.spec import Pooled
from trainables.spec.rois import group_of

NAME: Final = "salience"
BATCH: Final = {"cpu": 32, "cuda": 256}
N_EXAMPLES: Final = 6
"""Images whose maps are kept whole: the same ones for every trunk."""
SCHEMA: Final = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("lateralisation", pa.float64()),
        pa.field("lateralisation_mirrored", pa.float64()),
        pa.field("map", pa.list_(pa.float32())),
    ]
)
"""A row a test image. lateralisation: left-minus-right share of the map's mass; null where it has
none. …_mirrored: of the mirrored image. map: row by row, of the first few images."""


def applies(probed: Probed, bench: Workbench) -> str | None:
    """Say why a trunk is not looked at: the untuned one and those of one early ROI are."""
    if bench.task is None:
        return CLASSIFICATION.applies(probed, bench)
    if not probed.is_tuned:
        return None
    if isinstance(probed.model.objective, Pooled):
        return "it was tuned on several subjects"
    cell = probed.model.cells[0]
    return None if group_of(cell.roi) == "early" else f"{cell.roi} is no early ROI"


def inputs(probed: Probed, bench: Workbench) -> Any:
    """Name what decides the result beside the trunk: its classifier, and the layer."""
    return {**CLASSIFICATION.inputs(probed, bench), "salience_layer": bench.salience_layer}


def run(trunk: LoadedTrunk, bench: Workbench) -> Result:
    """Compute the maps of all test images and of their mirror images, for the true class.

    Raises ValueError where the trunk has no classifier yet.
    """
    weight, bias = read_head(head_file(trunk.probed, bench))
    classifier = Classifier(trunk.network, bench.feature_layer, weight.float(), bias.float())
    return look(classifier.to(bench.device).eval(), bench)


def look(classifier: Classifier, bench: Workbench) -> Result:
    """Compute a classifier's maps; sum them up by image, and as mean maps."""
    assert bench.task is not None  # what applies asks for
    told = read_labels(bench.task)
    rows = told.test_rows
    labels = torch.from_numpy(told.labels[rows])
    size = BATCH[bench.device.type]
    plain, mirrored = [], []
    batches = read_task_batches(bench.task, size, rows)
    for images, classes in zip(batches, torch.split(labels, size), strict=True):
        on_device = (images.to(bench.device), classes.to(bench.device))
        plain.append(salience_maps(classifier, bench.salience_layer, *on_device).cpu())
        flipped = (on_device[0].flip(3), on_device[1])
        mirrored.append(salience_maps(classifier, bench.salience_layer, *flipped).cpu())
    maps, of_mirrors = torch.cat(plain), torch.cat(mirrored)
    examples = [one.flatten().tolist() for one in maps[:N_EXAMPLES]]
    table = pa.table(
        {
            "index": pa.array(rows.astype(np.int32)),
            "label": pa.array(labels.numpy().astype(np.int32)),
            "lateralisation": _nullable(lateralisation(maps)),
            "lateralisation_mirrored": _nullable(lateralisation(of_mirrors)),
            "map": pa.array(
                examples + [None] * (len(maps) - len(examples)), SCHEMA.field("map").type
            ),
        },
        schema=SCHEMA,
    )
    numbers = {"mean_map": _mean_map(maps), "mean_map_mirrored": _mean_map(of_mirrors)}
    return Result(table, {**numbers, "n_without_mass": int((maps.sum(dim=(1, 2)) == 0).sum())})


def _nullable(values: Tensor) -> pa.Array:
    return pa.array(values.numpy(), from_pandas=True)


def _mean_map(maps: Tensor) -> list[list[float]]:
    """Average the maps, each scaled to a mass of 1, over images that have any: (h, w)."""
    mass = maps.double().sum(dim=(1, 2), keepdim=True)
    scaled = (maps / mass)[mass.flatten() > 0]
    found: list[list[float]] = scaled.mean(dim=0).tolist() if len(scaled) else []
    return found


SALIENCE: Final = Kind(NAME, applies, inputs, run, needs=CLASSIFICATION.name)
