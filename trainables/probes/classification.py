"""Classification of images by logistic regression on a backbone's frozen features.

Paper: classifier.5, standardised, multinomial logistic regression, 85 % of the images to train.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from trainables.compute.device import free_bytes
from trainables.data.tasks import TaskManifest, read_labels, read_task_batches
from trainables.encoding.features import Storage, extract
from trainables.exceptions import Denied
from trainables.probes.logistic import C, Head, fit_head
from trainables.probes.probe import Kind, LoadedBackbone, ProbeContext, Probed, Result, probe_name
from trainables.storage.tensor_files import write_tensors

NAME: Final = "classification"
BATCH: Final = {"cpu": 32, "cuda": 256}
SHARE_FOR_FEATURES: Final = 0.25
SCHEMA: Final = pa.schema(
    [
        pa.field("index", pa.int32(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("log_probabilities", pa.list_(pa.float64()), nullable=False),
    ]
)
"""One row per test image: its index in the task, its class, and the log-probability of each class,
in nats. Logarithms, since a probability below 1e-45 is 0 in float32, and its logarithm lost."""


def applies(probed: Probed, context: ProbeContext) -> str | None:
    """Return the reason why a backbone can't be probed: there is no task."""
    return None if context.task is not None else "no image-classification task is ingested"


def inputs(probed: Probed, context: ProbeContext) -> Any:
    """Name the inputs beside the backbone: the task's images, and the layer."""
    manifest = TaskManifest.read(_task(context))
    return {"task": manifest.name, "data": manifest.data, "layer": context.feature_layer, "C": C}


def run(backbone: LoadedBackbone, context: ProbeContext) -> Result:
    """Fit a head on the features of training images, and measure it on those of test images.

    Writes the head beside the result, before it.
    """
    task = _task(context)
    manifest, message = TaskManifest.read(task), read_labels(task)
    features = read_features(backbone, context, manifest.n_images)
    labels = torch.from_numpy(message.labels).to(features.device)
    train = torch.from_numpy(message.train_rows).to(features.device)
    test = torch.from_numpy(message.test_rows).to(features.device)
    head = fit_head(features[train], labels[train], len(manifest.classes))
    logits = head.logits(features[test])
    write_head(head_file(backbone.probed, context), head)
    return Result(
        _rows(message.test_rows, labels[test], logits),
        {
            **measure(logits, labels[test]),
            "n_train": len(train),
            "n_test": len(test),
            "n_classes": len(manifest.classes),
            "C": C,
            "converged": head.converged,
        },
    )


def read_features(backbone: LoadedBackbone, context: ProbeContext, n_images: int) -> Tensor:
    """Pass the task's images through a backbone once: (n_images, n_features) float32."""
    budget = int(SHARE_FOR_FEATURES * free_bytes(context.device))
    storage = Storage(context.device, budget, context.runs.scratch)
    batches = read_task_batches(_task(context), BATCH[context.device.type])
    layer = context.feature_layer
    with extract(backbone.network, (layer,), batches, n_images, storage) as features:
        return torch.cat(list(features.columns(layer)), dim=1)


def measure(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Compute accuracy, log-loss in nats, and, of more than five classes, top-5 accuracy."""
    ranked = logits.argsort(dim=1, descending=True)
    hits = ranked == labels.unsqueeze(1)
    numbers = {
        "accuracy": float(hits[:, 0].double().mean()),
        "log_loss": float(functional.cross_entropy(logits, labels)),
    }
    if logits.shape[1] > 5:
        numbers["top5"] = float(hits[:, :5].any(dim=1).double().mean())
    return numbers


def _rows(index: "np.ndarray[Any, np.dtype[np.int64]]", labels: Tensor, logits: Tensor) -> pa.Table:
    log_probabilities = functional.log_softmax(logits.double(), dim=1).cpu().numpy()
    flat = pa.array(log_probabilities.reshape(-1))
    offsets = np.arange(0, log_probabilities.size + 1, logits.shape[1], dtype=np.int32)
    columns = [
        pa.array(index.astype(np.int32)),
        pa.array(labels.cpu().numpy().astype(np.int32)),
        pa.ListArray.from_arrays(pa.array(offsets), flat),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def head_file(probed: Probed, context: ProbeContext) -> Path:
    """Name the file of a backbone's head, beside its result."""
    return context.runs.head_file(CLASSIFICATION.name, probe_name(CLASSIFICATION, probed, context))


def write_head(path: Path, head: Head) -> None:
    """Write a head atomically."""
    write_tensors(path, {"weight": head.weight.cpu(), "bias": head.bias.cpu()})


def read_head(path: Path) -> tuple[Tensor, Tensor]:
    """Read a head: weight (n_classes, n_features) and bias (n_classes,), float64, on the CPU.

    Raises ValueError naming a missing or damaged file.
    """
    try:
        state = load_file(path)
        return state["weight"], state["bias"]
    except PermissionError as error:
        raise Denied.of(path, error) from error
    except Exception as error:  # safetensors has its own error type
        raise ValueError(
            f"{path}: not a classifier's head ({error}); remove the result next to it and run "
            "python -m orchestrator.analyze classification --out RUNS"
        ) from error


def _task(context: ProbeContext) -> Path:
    if context.task is None:
        raise ValueError(
            "no image-classification task; run python -m orchestrator.ingest task SRC "
            "--out DATA --name NAME"
        )
    return context.task


CLASSIFICATION: Final = Kind(NAME, applies, inputs, run, version=2)
