"""Predictions of NSD-synthetic: by models' own readouts, and by readouts fitted to its images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from orchestrator.encoding_models.config import ModelDirectory
from orchestrator.encoding_models.shared_backbone import SharedBackbone
from orchestrator.evaluate.ood.image_groups import Array
from orchestrator.evaluate.ood.refitted_readout import FEWEST_GROUPS, RefittedReadout
from orchestrator.evaluate.ood.synthetic_subjects import SyntheticSubject
from trainables.compute.precision import full_float32
from trainables.encoding.pca import gram
from trainables.spec import Encoding

BATCH: Final = 64
COLUMNS: Final = 8192
"""Features whose inner products are summed at once, in float64."""


@dataclass(frozen=True)
class Predictions:
    """A model's predictions of all images: (n_images, n_vertices) each."""

    exported: Array
    """By its readout, which was fitted to NSD's training images."""
    refitted: Array | None
    """By a readout that was fitted to the other images; None where there are too few groups."""


def predict_images(
    group: Sequence[ModelDirectory], subject: SyntheticSubject, device: torch.device
) -> Iterator[tuple[ModelDirectory, Predictions]]:
    """Yield the predictions of all images by the models of one backbone, layer by layer."""
    backbone = SharedBackbone(group, device)
    images = subject.images_at(backbone.resizing.size)
    parts = [backbone.predict(batch) for batch in torch.split(images, BATCH)]
    whole = (np.concatenate(each) for each in zip(*parts, strict=True))
    exported = dict(zip([model.path for model in group], whole, strict=True))
    refits: dict[tuple[str, Encoding], RefittedReadout | None] = {}
    for model in sorted(group, key=lambda one: one.config.layer):
        encoding = model.config.trial.encoding
        assert encoding is not None  # it was exported by its scores
        key = model.config.layer, encoding
        if key not in refits:
            refits = {key: _refit(backbone, subject, *key, device=device)}  # hold one layer's
        readout = refits[key]
        again = None if readout is None else readout.predict(subject.responses(model))
        yield model, Predictions(exported[model.path], again)


def _refit(
    backbone: SharedBackbone,
    subject: SyntheticSubject,
    layer: str,
    encoding: Encoding,
    device: torch.device,
) -> RefittedReadout | None:
    """Fit a layer's readout to the images; None where they have too few groups."""
    if len(np.unique(subject.groups)) < FEWEST_GROUPS:
        return None
    batches = torch.split(subject.images_at(backbone.resizing.size), BATCH)
    features = torch.cat([backbone.features(batch, layer).cpu() for batch in batches])
    chunks = torch.split(features, COLUMNS, dim=1)
    with full_float32():
        K = gram(chunk.to(device) for chunk in chunks)
        return RefittedReadout(K, subject.groups, encoding)
