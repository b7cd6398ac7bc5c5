"""Saliency of backbones of early ROIs by Grad-CAM: on test images and on their mirror images."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from trainables.data.tasks import TaskManifest, read_labels, read_task_batches
from trainables.probes.classification import CLASSIFICATION, head_file, read_head
from trainables.probes.grad_cam import Classifier, lateralisation, saliency_maps
from trainables.probes.probe import Kind, LoadedBackbone, ProbeContext, Probed, Result
from trainables.probes.saliency_examples import Seen, describe_examples
from trainables.probes.saliency_fields import EXAMPLE
from trainables.spec import Pooled
from trainables.spec.rois import roi_group_of

NAME: Final = "saliency"
BATCH: Final = {"cpu": 32, "cuda": 256}
N_EXAMPLES: Final = 4
"""Test images whose maps are kept whole: the same ones for every backbone."""
SCHEMA: Final = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("lateralisation", pa.float64()),
        pa.field("lateralisation_mirrored", pa.float64()),
        pa.field("example", EXAMPLE),
    ]
)
"""One row per test image. lateralisation: left-minus-right share of the map's mass; null where it
has none. …_mirrored: of the mirrored image. example: the map and more, of a few images."""


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
    return look(
        classifier.to(context.device).eval(), context, keep_images=not backbone.probed.is_finetuned
    )


def look(classifier: Classifier, context: ProbeContext, *, keep_images: bool) -> Result:
    """Compute a classifier's maps; sum them up by image, and as mean maps.

    keep_images: whether the examples have their images, which all backbones share.
    """
    assert context.task is not None  # what applies asks for
    task_labels = read_labels(context.task)
    rows = task_labels.test_rows
    labels = torch.from_numpy(task_labels.labels[rows])
    seen = _look_at_all(classifier, context, rows, labels)
    chosen = choose_examples(len(rows))
    classes = TaskManifest.read(context.task).classes
    examples: list[dict[str, Any] | None] = [None] * len(rows)
    for place, example in zip(
        chosen, describe_examples(classifier, seen.at(chosen), classes, keep_images), strict=True
    ):
        examples[place] = example
    table = pa.table(
        {
            "index": pa.array(rows.astype(np.int32)),
            "label": pa.array(labels.numpy().astype(np.int32)),
            "lateralisation": _nullable(lateralisation(seen.maps)),
            "lateralisation_mirrored": _nullable(lateralisation(seen.of_mirrors)),
            "example": pa.array(examples, EXAMPLE),
        },
        schema=SCHEMA,
    )
    without_mass = int((seen.maps.sum(dim=(1, 2)) == 0).sum())
    means = {"mean_map": _mean_map(seen.maps), "mean_map_mirrored": _mean_map(seen.of_mirrors)}
    return Result(table, {**means, "n_without_mass": without_mass})


def choose_examples(n_images: int) -> list[int]:
    """Choose the test images that are kept, spread evenly, since neighbours are of one class."""
    places = np.linspace(0, n_images - 1, N_EXAMPLES).round()
    return [int(one) for one in np.unique(places)]


def _look_at_all(
    classifier: Classifier,
    context: ProbeContext,
    rows: "np.ndarray[Any, np.dtype[np.int64]]",
    labels: Tensor,
) -> Seen:
    """Compute the maps of all test images; keep the images of the examples alone."""
    assert context.task is not None
    size = BATCH[context.device.type]
    chosen, first = set(choose_examples(len(rows))), 0
    plain, mirrored, kept = [], [], []
    batches = read_task_batches(context.task, size, rows)
    for images, classes in zip(batches, torch.split(labels, size), strict=True):
        on_device = (images.to(context.device), classes.to(context.device))
        plain.append(saliency_maps(classifier, context.saliency_layer, *on_device).cpu())
        flipped = (on_device[0].flip(3), on_device[1])
        mirrored.append(saliency_maps(classifier, context.saliency_layer, *flipped).cpu())
        kept += [(first + k, images[k]) for k in range(len(images)) if first + k in chosen]
        first += len(images)
    return Seen(torch.cat(plain), torch.cat(mirrored), labels, dict(kept))


def _nullable(values: Tensor) -> pa.Array:
    return pa.array(values.numpy(), from_pandas=True)


def _mean_map(maps: Tensor) -> list[list[float]]:
    """Average the maps, each scaled to a mass of 1, over images that have any: (h, w)."""
    mass = maps.double().sum(dim=(1, 2), keepdim=True)
    scaled = (maps / mass)[mass.flatten() > 0]
    found: list[list[float]] = scaled.mean(dim=0).tolist() if len(scaled) else []
    return found


SALIENCY: Final = Kind(NAME, applies, inputs, run, needs=CLASSIFICATION.name, version=2)
