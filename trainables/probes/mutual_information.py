"""InfoNCE bound on the information of a model's embeddings about its own ROIs' responses."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from trainables.data.loading import IMAGE_COLUMNS
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import TEST, Manifest, read_vertices
from trainables.data.verification import CURE
from trainables.models import backbones
from trainables.models.finetuned import build_model, embedder_of
from trainables.models.heads import project_batch
from trainables.models.losses import cosine_similarity
from trainables.models.temperature import value_of
from trainables.probes.info_nce import best_beta, bound
from trainables.probes.probe import Kind, LoadedBackbone, ProbeContext, Probed, Result
from trainables.spec import Contrastive, Pooled, Trial
from trainables.training.checkpoints import Checkpoints

NAME: Final = "information"
SCHEMA: Final = pa.schema(
    [
        pa.field("roi_id", pa.string(), nullable=False),
        pa.field("n_test", pa.int32(), nullable=False),
        pa.field("n_train", pa.int32(), nullable=False),
        pa.field("temperature", pa.float64(), nullable=False),
        pa.field("beta_train", pa.float64(), nullable=False),
        pa.field("nats", pa.float64(), nullable=False),
        pa.field("beta_test", pa.float64(), nullable=False),
        pa.field("nats_beta_test", pa.float64(), nullable=False),
        pa.field("beta_train_running", pa.float64(), nullable=False),
        pa.field("nats_running", pa.float64(), nullable=False),
        pa.field("beta_test_running", pa.float64(), nullable=False),
        pa.field("nats_beta_test_running", pa.float64(), nullable=False),
        pa.field("ceiling", pa.float64(), nullable=False),
    ]
)
"""One row per ROI. nats: bound on the test images with β from the training images, in batches of as
many; nats_beta_test: with β from the test images themselves. …_running: of embeddings that
BatchNorm standardises by its running statistics, not the batch's. ceiling: log of n_test, nats."""


def applies(probed: Probed, context: ProbeContext) -> str | None:
    """Return the reason why a backbone can't be probed: nothing embeds responses."""
    embeds = isinstance(probed.model.objective, Contrastive | Pooled)
    return None if embeds else f"a {probed.model.method} model embeds no responses"


def inputs(probed: Probed, context: ProbeContext) -> Any:
    """Name the inputs beside the model: none, since its id includes its ROIs' data."""
    return {"rois": [[roi.id, roi.data] for roi in probed.model.rois]}


def run(backbone: LoadedBackbone, context: ProbeContext) -> Result:
    """Embed the training and test images and responses of each of the model's ROIs."""
    model = _load_model(backbone, context)
    rows, temperature = [], float(value_of(model.temperature))
    for number, roi in enumerate(backbone.probed.model.rois):
        pairs = _embed(model, number, backbone.probed.model, context)
        rows.append({"roi_id": roi.id, **measure(pairs, temperature)})
    return Result(pa.Table.from_pylist(rows, SCHEMA), {})


@dataclass(frozen=True)
class Pairs:
    """Readouts of images and of responses, row i of one image, which of them test, and the head."""

    images: Tensor
    responses: Tensor
    is_test: Tensor
    head: nn.Sequential

    @torch.no_grad()
    def cosines(self, rows: Tensor, *, running: bool) -> Tensor:
        """Compare the images of rows (rows) with their responses (columns), as one batch.

        running: whether BatchNorm standardises by its running statistics, as the head in eval mode
        does, instead of by the batch's own.
        """
        project = self.head if running else partial(project_batch, self.head)
        images, responses = (project(side[rows]) for side in (self.images, self.responses))
        return cosine_similarity(images, responses)


def measure(pairs: Pairs, temperature: float) -> dict[str, float]:
    """Bound the information on the test images, by the batch's and by the running statistics.

    pairs: with the head in eval mode. β is chosen on training and on test images.
    """
    test = torch.nonzero(pairs.is_test).flatten()
    train = torch.nonzero(~pairs.is_test).flatten()
    n_test = len(test)
    batches = [part for part in torch.split(train, n_test) if len(part) == n_test] or [train]
    numbers = {"n_test": n_test, "n_train": len(train), "temperature": temperature}
    for ending, running in (("", False), ("_running", True)):
        of_test = pairs.cosines(test, running=running)
        of_train = [pairs.cosines(part, running=running) for part in batches]
        beta_train, beta_test = (best_beta(one, temperature) for one in (of_train, [of_test]))
        numbers |= {
            f"beta_train{ending}": beta_train,
            f"nats{ending}": bound(of_test, temperature, beta_train),
            f"beta_test{ending}": beta_test,
            f"nats_beta_test{ending}": bound(of_test, temperature, beta_test),
        }
    return {**numbers, "ceiling": math.log(n_test)}


def _load_model(backbone: LoadedBackbone, context: ProbeContext) -> Any:
    """Build the whole fine-tuned model with its last checkpoint's weights, in eval mode."""
    trial, directory = backbone.probed.model, backbone.checkpoint
    rows_at = Manifest.read(context.data.fetched_shard(trial.shards[0])).image_size
    size = trial.backbone.seen_size_in(rows_at)
    network = backbones.build_scaled(trial.backbone)
    n_vertices = [roi.n_vertices for roi in trial.rois]
    assert isinstance(trial.objective, Contrastive | Pooled)  # what applies asks for
    model = build_model(trial.objective, network, size, n_vertices, trial.seed)
    resumed = Checkpoints(directory).load(context.device) if directory is not None else None
    if resumed is None:
        raise ValueError(f"{directory}: no checkpoint of {trial.id}; run the sweep again")
    model.load_state_dict(resumed.model)
    return model.to(context.device).eval()


@torch.no_grad()
def _embed(model: Any, number: int, trial: Trial, context: ProbeContext) -> Pairs:
    """Read out all images and responses of one of a trial's ROIs, a row group at a time."""
    roi = trial.rois[number]
    shard = context.data.fetched_shard(roi.shard)
    manifest = Manifest.read(shard)
    if manifest.data != roi.data:
        raise ValueError(
            f"{shard}: its content is {manifest.data}, the model was fine-tuned on {roi.data}; "
            "give --data the directory that the sweep ran on"
        )
    vertices = read_vertices(shard, roi)
    embedder = embedder_of(model, number)
    size, kind = manifest.images_at(shard, trial.backbone.image_size)
    images, responses, is_test = [], [], []
    for pictures, block in zip(
        read_rows(shard, IMAGE_COLUMNS, kind=kind),
        read_rows(shard, ("index", "split", roi.hemisphere)),
        strict=True,
    ):
        if pictures["index"] != block["index"]:
            raise ValueError(f"{shard}: its images of {size} pixels are in another order; {CURE}")
        pixels = fixed_width(pictures["image"], np.uint8).copy()
        batch = torch.from_numpy(pixels).view(-1, 3, size, size)
        measured = fixed_width(block[roi.hemisphere], np.float32)[:, vertices]
        images.append(embedder.read_images(batch.to(context.device)))
        responses.append(embedder.read_responses(torch.from_numpy(measured).to(context.device)))
        is_test.append(torch.from_numpy(block["split"].to_numpy() == TEST))
    sides = (torch.cat(images), torch.cat(responses), torch.cat(is_test).to(context.device))
    return Pairs(*sides, embedder.head)


INFORMATION: Final = Kind(NAME, applies, inputs, run, version=3)
