"""Saliency of backbones of early ROIs by Grad-CAM: on test images and on their mirror images."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from trainables.data.tasks import read_labels, read_task_batches
from trainables.probes.classification import CLASSIFICATION, head_file, read_head
from trainables.probes.grad_cam import Classifier, lateralisation, saliency_maps
from trainables.probes.probe import Kind, LoadedBackbone, ProbeContext, Probed, Result
from trainables.spec import Pooled
from trainables.spec.rois import roi_group_of

NAME: Final = "saliency"
BATCH: Final = {"cpu": 32, "cuda": 256}
N_EXAMPLES: Final = 6
"""Images whose maps are kept whole: the same ones for every backbone."""
SCHEMA: Final = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("lateralisation", pa.float64()),
        pa.field("lateralisation_mirrored", pa.float64()),
        pa.field("map", pa.list_(pa.float32())),
    ]
)
"""One row per test image. lateralisation: left-minus-right share of the map's mass; null where it
has none. …_mirrored: of the mirrored image. map: row by row, of the first few images."""


def applies(probed: Probed, context: ProbeContext) -> str | None:
    """Return the reason why a backbone is not probed: only untuned and early-ROI ones are."""
    if context.task is None:
        return CLASSIFICATION.applies(probed, context)
    if not probed.is_finetuned:
        return None
    if isinstance(probed.model.objective, Pooled):
        return "it was fine-tuned on several subjects"
    roi = probed.model.rois[0]
    return None if roi_group_of(roi.name) == "early" else f"{roi.name} is no early ROI"


def inputs(probed: Probed, context: ProbeContext) -> Any:
    """Name the inputs beside the backbone: its classifier, and the layer."""
    return {**CLASSIFICATION.inputs(probed, context), "saliency_layer": context.saliency_layer}


def run(backbone: LoadedBackbone, context: ProbeContext) -> Result:
    """Compute the maps of all test images and of their mirror images, for the true class.

    Raises ValueError where the backbone has no classifier yet.
    """
    weight, bias = read_head(context.runs.fetched(head_file(backbone.probed, context)))
    classifier = Classifier(backbone.network, context.feature_layer, weight.float(), bias.float())
    return look(classifier.to(context.device).eval(), context)


def look(classifier: Classifier, context: ProbeContext) -> Result:
    """Compute a classifier's maps; sum them up by image, and as mean maps."""
    assert context.task is not None  # what applies asks for
    task_labels = read_labels(context.task)
    rows = task_labels.test_rows
    labels = torch.from_numpy(task_labels.labels[rows])
    size = BATCH[context.device.type]
    plain, mirrored = [], []
    batches = read_task_batches(context.task, size, rows)
    for images, classes in zip(batches, torch.split(labels, size), strict=True):
        on_device = (images.to(context.device), classes.to(context.device))
        plain.append(saliency_maps(classifier, context.saliency_layer, *on_device).cpu())
        flipped = (on_device[0].flip(3), on_device[1])
        mirrored.append(saliency_maps(classifier, context.saliency_layer, *flipped).cpu())
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


SALIENCY: Final = Kind(NAME, applies, inputs, run, needs=CLASSIFICATION.name)
