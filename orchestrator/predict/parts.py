"""Predictions on their way: a file for each part of the images and each backbone.

``OUT.parts/plan.json`` says of which models and images they are. A part is complete or absent, so
that a command that was killed at any moment is resumed with nothing lost and nothing twice.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from orchestrator.cli.errors import InputError
from orchestrator.encoding_models.config import ModelDirectory
from trainables.spec import digest
from trainables.spec.fields import Count, Int, Text
from trainables.spec.records import read_record, record
from trainables.storage.atomic import write_text
from trainables.storage.temporary_files import remove_abandoned
from trainables.storage.tensor_files import write_tensors

PART_BYTES: Final = 16 * 2**20
MOST_ROWS: Final = 1024
FEWEST_ROWS: Final = 64

Predicted = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@record
class Plan:
    """What the parts are parts of."""

    models: Text
    """Digest of the models, in their order."""
    images: Text
    """Digest of the images, in their order."""
    n_images: Count
    rows_per_part: Count
    schema_version: Int = 1


def make_plan(models: Sequence[ModelDirectory], content: object, n_images: int) -> Plan:
    """Plan the parts: as many rows as predictions of all models in PART_BYTES."""
    n_vertices = sum(model.config.roi.n_vertices for model in models)
    rows = min(MOST_ROWS, max(FEWEST_ROWS, PART_BYTES // (4 * n_vertices)))
    of_models = [(m.config.name, *sorted(m.config.weights.sha256.items())) for m in models]
    return Plan(digest([of_models]), digest([content]), n_images, rows)


@dataclass(frozen=True)
class Parts:
    """The directory of the parts of one prediction."""

    directory: Path
    plan: Plan

    @classmethod
    def of(cls, out: Path, plan: Plan) -> "Parts":
        """Find the parts of an output file, of which there may be none yet.

        Raises InputError if what is there is of other models or images, or the output is there and
        complete.
        """
        parts = cls(out.with_name(f"{out.name}.parts"), plan)
        try:
            known = read_record(
                parts._plan_file, Plan, f"remove {parts.directory}, and predict from the start"
            )
        except (FileNotFoundError, NotADirectoryError):
            if out.exists():
                raise InputError(
                    f"--out {out}: there already; remove it, or give another one"
                ) from None
            return parts
        if known != plan:
            what = "models" if known.models != plan.models else "images"
            raise InputError(
                f"{parts.directory}: begun with other {what}; remove it to predict from the start, "
                "or give another --out"
            )
        return parts

    @property
    def _plan_file(self) -> Path:
        return self.directory / "plan.json"

    def begin(self) -> None:
        """Write the plan, and remove what a killed command has left half-written."""
        if not self._plan_file.is_file():
            write_text(self._plan_file, json.dumps(asdict(self.plan), indent=2) + "\n")
        remove_abandoned(self.directory, below=False)

    @property
    def rows(self) -> list[range]:
        """The rows of each part."""
        n, step = self.plan.n_images, self.plan.rows_per_part
        return [range(start, min(start + step, n)) for start in range(0, n, step)]

    def _file(self, group: int, part: int) -> Path:
        return self.directory / f"backbone-{group:04d}-part-{part:06d}.safetensors"

    def has(self, group: int, part: int) -> bool:
        """Return whether a backbone's predictions of a part are there."""
        return self._file(group, part).is_file()

    def write(
        self, group: int, part: int, predicted: Sequence[Predicted], problems: dict[int, str]
    ) -> None:
        """Write a backbone's predictions of a part: (n_rows, n_vertices) of each of its models."""
        tensors = {str(k): torch.from_numpy(one) for k, one in enumerate(predicted)}
        named = {"problems": json.dumps(problems)}
        write_tensors(self._file(group, part), tensors, named)

    def read(self, group: int, part: int) -> tuple[list[Predicted], dict[int, str]]:
        """Read what :meth:`write` wrote; raise ValueError naming a damaged file."""
        path = self._file(group, part)
        try:
            with safe_open(path, "numpy") as opened:
                content: Any = opened
                problems = json.loads((content.metadata() or {})["problems"])
                tensors = [content.get_tensor(str(k)) for k in range(len(content.keys()))]
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: not readable ({error}); remove it and run again") from error
        return tensors, {int(row): text for row, text in problems.items()}

    def remove(self) -> None:
        """Remove all parts; the plan last, so that what is left is known until then."""
        for path in self.directory.glob("backbone-*"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.directory, ignore_errors=True)
