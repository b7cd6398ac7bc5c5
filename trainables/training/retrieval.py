"""Retrieval after an epoch: how often a held-out image is matched to its own response."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from trainables.compute.device import to_device
from trainables.models.finetuned import Embedder, FinetunedModel, embedder_of
from trainables.models.heads import project_batch
from trainables.models.losses import Retrieval, retrieval
from trainables.results.epoch_report import EpochReport
from trainables.training.batches import TrainingData


@torch.no_grad()
def with_retrieval(
    report: EpochReport,
    model: FinetunedModel,
    subjects: Sequence[TrainingData],
    held_out: Sequence[Tensor],
) -> EpochReport:
    """Add the retrieval among held-out images to a report, measured without dropout in one batch.

    held_out: rows of each subject's images. Retrieval is measured within each subject and averaged
    over subjects; if no subject has two held-out images, the report is returned unchanged.
    """
    model.eval()
    found = [
        _retrieval(embedder_of(model, number), data, rows)
        for number, (data, rows) in enumerate(zip(subjects, held_out, strict=True))
        if len(rows) >= 2
    ]
    if not found:
        return report
    return replace(
        report,
        retrieval_top1=fmean(one.top1 for one in found),
        retrieval_median_rank=fmean(one.median_rank for one in found),
    )


def _retrieval(embedder: Embedder, data: TrainingData, rows: Tensor) -> Retrieval:
    images = torch.cat([embedder.read_images(x) for x in data.images.batches(rows, 256)])
    responses = embedder.read_responses(data.responses[to_device(rows, data.responses.device)])
    embedded = [project_batch(embedder.head, side) for side in (images, responses)]
    return retrieval(*embedded)
