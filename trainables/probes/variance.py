"""Variance of a model's own ROIs that its features explain beside those of the untuned backbone.

All layers are used at once: concatenated, with a penalty per layer, and those of both backbones
together (trainables/encoding/variance.py). Penalties are chosen by cross-validation within the
training images, and everything is measured on the test images.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import torch
from torch import nn

from trainables.compute.device import free_bytes
from trainables.compute.numerics import Numerics
from trainables.data.data_directory import fetch_rows
from trainables.data.images import ResidentImages
from trainables.data.loading import read_images, read_subject
from trainables.data.rows import read_rows
from trainables.data.shards import Manifest, check_planned, read_vertices
from trainables.encoding.bands import NetworkBands, network_bands
from trainables.encoding.features import Storage, extract
from trainables.encoding.protocols import Rows, Split
from trainables.encoding.variance import MODELS, Explained, Task, partition
from trainables.models import backbones
from trainables.probes.probe import Kind, LoadedBackbone, ProbeContext, Probed, Result
from trainables.spec import CLEAN, Encoding, Roi

NAME: Final = "variance"
BATCH: Final = {"cpu": 32, "cuda": 256}
SHARE_FOR_FEATURES: Final = 0.25
QUANTITIES: Final = tuple(f"{score}_{model}" for score in ("r", "r2") for model in MODELS)
"""Scores of each model, by vertex: r_untuned … r2_tuned_banded."""
SCHEMA: Final = pa.schema(
    [
        pa.field("roi_id", pa.string(), nullable=False),
        pa.field("n_fitted", pa.int32(), nullable=False),
        pa.field("n_test", pa.int32(), nullable=False),
        pa.field("vertex", pa.list_(pa.int32()), nullable=False),
        *(pa.field(name, pa.list_(pa.float64()), nullable=False) for name in QUANTITIES),
        pa.field("stimulus", pa.list_(pa.string()), nullable=False),
        *(
            pa.field(f"{name}_effects", pa.list_(pa.float64()), nullable=False)
            for name in QUANTITIES
        ),
    ]
)
"""One row per ROI. vertex and QUANTITIES: of every vertex; NaN where responses are constant.
stimulus and _effects: of every test image, its effect on the mean of a quantity over vertices."""


def applies(probed: Probed, context: ProbeContext) -> str | None:
    """Return the reason why a backbone can't be probed: it is the untuned one."""
    return None if probed.is_finetuned else "the untuned backbone is what others are compared with"


def protocol_of(probed: Probed) -> str:
    """Name the protocol whose images are fitted: ``clean`` where the trial holds some back."""
    encoding = probed.model.encoding
    return CLEAN if encoding is not None and CLEAN in encoding.protocols else "nested"


def inputs(probed: Probed, context: ProbeContext) -> Any:
    """Name the inputs beside the model: its encoding, and which images are fitted."""
    encoding = asdict(_encoding_of(probed))
    del encoding["protocols"]
    return {**encoding, "protocol": protocol_of(probed)}


def run(backbone: LoadedBackbone, context: ProbeContext) -> Result:
    """Extract the features of both backbones for each subject, and partition each ROI."""
    model = backbone.probed.model
    untuned = backbones.load(model.backbone, context.weights_file).to(context.device).eval()
    networks = {"untuned": untuned, "tuned": backbone.network}
    rows = []
    for shard in model.shards:
        rois = [roi for roi in model.rois if roi.shard == shard]
        rows += list(_of_subject(rois, networks, backbone.probed, context))
    return Result(pa.Table.from_pylist(rows, SCHEMA), {"protocol": protocol_of(backbone.probed)})


def _encoding_of(probed: Probed) -> Encoding:
    return probed.model.encoding or Encoding()


def _of_subject(
    rois: list[Roi], networks: Mapping[str, nn.Module], probed: Probed, context: ProbeContext
) -> Iterator[dict[str, Any]]:
    """Yield a row for each of a subject's ROIs."""
    shard = context.data.fetched_shard(rois[0].shard)
    size, kind = Manifest.read(shard).images_at(shard, probed.model.backbone.image_size)
    fetch_rows(shard, kind)
    subject, encoding = read_subject(shard), _encoding_of(probed)
    check_planned(shard, subject.manifest, rois[0].data)
    n_images, n_trials = subject.manifest.n_images, subject.n_trials
    split = Split(subject.train_rows, subject.test_rows, n_images, n_trials=n_trials)
    protocol = protocol_of(probed)
    rows, compact = split.compact([CLEAN if protocol == CLEAN else "nested"])
    fitted = compact.clean if protocol == CLEAN else compact.train
    images = ResidentImages(read_images(shard, context.device, size))
    places = _Places(rows, fitted, compact.weights(fitted))
    bands = [_bands(one, images, places, probed, context) for one in networks.values()]
    stimuli = _stimuli(shard, rows[compact.test])
    for roi in rois:
        vertices = read_vertices(shard, roi)
        responses = subject.responses[roi.hemisphere][rows][:, vertices]
        Y = torch.from_numpy(responses).to(context.device, torch.float64)
        choices = (encoding.n_folds, encoding.alphas, compact.n_trials)
        task = Task(Y, fitted, compact.test, *choices)
        yield {
            "roi_id": roi.id,
            "n_fitted": len(fitted),
            "n_test": len(compact.test),
            "vertex": vertices.tolist(),
            "stimulus": stimuli,
            **_columns(partition(task, *bands)),
        }


def _columns(found: Mapping[str, Explained]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    for model, one in found.items():
        columns[f"r_{model}"] = one.r.tolist()
        columns[f"r2_{model}"] = one.r2.tolist()
        columns[f"r_{model}_effects"] = one.r_effects.tolist()
        columns[f"r2_{model}_effects"] = one.r2_effects.tolist()
    return columns


def _stimuli(shard: Path, rows: Rows) -> list[str]:
    """Name the images of rows of a subject."""
    names: dict[int, str] = {}
    for block in read_rows(shard, ("index", "stimulus")):
        names.update(zip(block["index"].to_pylist(), block["stimulus"].to_pylist(), strict=True))
    return [names[row] for row in rows.tolist()]


class _Places(NamedTuple):
    """Which images are used and fitted."""

    rows: Rows
    fitted: Rows
    """The fitted ones among these."""
    weights: torch.Tensor | None
    """(n_fitted,) how often a fit counts each; None: once."""


def _bands(
    network: nn.Module,
    images: ResidentImages,
    places: _Places,
    probed: Probed,
    context: ProbeContext,
) -> NetworkBands:
    """Extract a network's layers."""
    rows, fitted, weights = places
    encoding, device = _encoding_of(probed), context.device
    budget = int(SHARE_FOR_FEATURES * free_bytes(device))
    storage = Storage(device, budget, context.runs.scratch)
    batches = images.batches(torch.from_numpy(rows), BATCH[device.type])
    with extract(network, encoding.layers, batches, len(rows), storage) as features:
        return network_bands(
            features,
            encoding.layers,
            torch.from_numpy(fitted).to(device),
            encoding.n_components,
            Numerics(probed.model.deterministic),
            None if weights is None else weights.to(device),
        )


VARIANCE: Final = Kind(NAME, applies, inputs, run)
