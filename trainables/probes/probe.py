"""What a probe is: one analysis of one backbone, with its result file and cache key."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from trainables.data.data_directory import DataDirectory
from trainables.exceptions import Denied
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial, Untuned, digest
from trainables.spec.fields import Int, Text
from trainables.spec.records import parse, record
from trainables.storage.atomic import read_parquet, write_parquet
from trainables.storage.stored_directory import StoredDirectory

if TYPE_CHECKING:  # analyses read results without torch, whose import takes seconds
    import torch
    from torch import nn

PROBE_KEY: Final = b"cortex_sweep.probe"
"""Key of a result's metadata: JSON of the backbone, the kind, its inputs, and its numbers."""


@dataclass(frozen=True)
class Probed:
    """A backbone to probe: a fine-tuned trial's, or the one that fine-tuning starts from.

    The untuned backbone is the same for every subject, so its id names none.
    """

    model: Trial

    @property
    def is_finetuned(self) -> bool:
        """Return whether the backbone was fine-tuned."""
        return not isinstance(self.model.objective, Untuned)

    @property
    def id(self) -> str:
        """Name the backbone: by its training, or ``untuned-alexnet-`` and 8 hex digits."""
        if self.is_finetuned:
            return self.model.training_id
        backbone = self.model.backbone
        name = re.sub(r"[^-.+\w]", "-", backbone.architecture)
        return f"untuned-{name}-{digest(backbone.content)}"


@dataclass(frozen=True)
class ProbeContext:
    """Directories, device and layers of probes; only a kind's inputs are part of an id."""

    runs: RunDirectory
    data: DataDirectory
    device: "torch.device"
    weights_file: Path | None = None
    task: Path | None = None
    """Directory of the ingested image-classification data set (trainables/data/tasks.py)."""
    feature_layer: str = "classifier.5"
    """The layer whose features are classified."""
    saliency_layer: str = "features.12"
    """The layer whose activations Grad-CAM weighs."""


@dataclass(frozen=True)
class LoadedBackbone:
    """A backbone with its weights, in eval mode on the device."""

    probed: Probed
    network: "nn.Module"
    checkpoint: StoredDirectory | None
    """Directory of the whole fine-tuned model's checkpoint; None for an untuned backbone."""


@dataclass(frozen=True)
class Result:
    """The result of a probe: rows, and a few summary numbers."""

    rows: pa.Table
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One kind of probe."""

    name: str
    applies: Callable[[Probed, ProbeContext], str | None]
    """None where the probe can be made; else why not, for people."""
    inputs: Callable[[Probed, ProbeContext], Any]
    """JSON-compatible content of everything that decides the result, beside the backbone."""
    run: Callable[[LoadedBackbone, ProbeContext], Result]
    needs: str | None = None
    """The kind whose result of the same backbone it reads."""
    version: int = 1


def probe_name(kind: Kind, probed: Probed, context: ProbeContext) -> str:
    """Name a probe of a backbone by all that its result depends on."""
    return f"{probed.id}-{digest([kind.version, probed.id, kind.inputs(probed, context)])}"


def probe_file(kind: Kind, probed: Probed, context: ProbeContext) -> Path:
    """Name the file of a probe's result; it is there when the probe is done."""
    return context.runs.probe_file(kind.name, probe_name(kind, probed, context))


def write_result(path: Path, kind: Kind, probed: Probed, inputs: Any, result: Result) -> None:
    """Write a probe's result atomically."""
    note = {
        "kind": kind.name,
        "version": kind.version,
        "id": probed.id,
        "model": json.loads(probed.model.to_json()),
        "inputs": inputs,
        "numbers": result.numbers,
    }
    metadata = {**(result.rows.schema.metadata or {}), PROBE_KEY: json.dumps(note).encode()}
    write_parquet(path, result.rows.replace_schema_metadata(metadata))


@record
class ProbeNote:
    """The metadata of a probe's result."""

    kind: Text
    version: Int
    id: Text
    model: Trial
    inputs: Any
    numbers: dict[Text, Any]


@dataclass(frozen=True)
class ProbeRecord:
    """A probe's result as it is read back, without its rows."""

    path: Path
    probed: Probed
    inputs: Any
    numbers: dict[str, Any]
    version: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a result's metadata; raise ValueError naming a damaged file."""
        try:
            note = parse(ProbeNote, (pq.read_schema(path).metadata or {}).get(PROBE_KEY, b""))
            return cls(path, Probed(note.model), note.inputs, note.numbers, note.version)
        except PermissionError as error:
            raise Denied.of(path, error) from error
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise ValueError(
                f"{path}: not a probe's result ({error}); remove it and run the analysis again"
            ) from error

    @property
    def is_at_its_path(self) -> bool:
        """Whether its file is named by the backbone and the inputs that it records."""
        key = digest([self.version, self.probed.id, self.inputs])
        return self.path.stem == f"{self.probed.id}-{key}"

    def rows(self) -> pa.Table:
        """Read the rows."""
        return read_parquet(self.path)
