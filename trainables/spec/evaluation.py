"""What an evaluation is: a tuned trunk scored on cells of a subject, without any training."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final, Self

from trainables.spec.objectives import Untuned
from trainables.spec.rois import NSD_OF_NOD, Cell
from trainables.spec.trial import Encoding, Trial, Trunk
from trainables.spec.values import as_mapping, build_from, digest, require

TRANSFER: Final = "transfer"
OTHER_REGION: Final = "other-region"


def serves(own: Cell, target: Cell) -> bool:
    """Tell whether a trunk tuned on one cell is one for another: the same ROI and hemisphere.

    NOD's areas are served by the NSD ROIs that stand for them.
    """
    roi = target.roi if target.dataset == own.dataset else NSD_OF_NOD.get(target.roi)
    return own.hemisphere == target.hemisphere and own.roi == roi


@dataclass(frozen=True)
class Evaluation:
    """A tuned trial's trunk, scored on one subject's cells as the trial's encoding says.

    PCA and ridge are fitted anew on the subject's own images. The id does not depend on which
    of the subject's cells are scored, so that they share one pass over the images.
    """

    model: Trial
    cells: tuple[Cell, ...]
    drop_seen: bool = False
    """Measure r without the images that the trunk was trained on."""

    def __post_init__(self) -> None:
        model = self.model
        require(not isinstance(model.objective, Untuned), f"{model.id}: expected a tuned trial")
        require(model.encoding is not None, f"{model.id}: expected a trial that is encoded")
        require(len(self.cells) > 0, "an evaluation needs at least one cell")
        shards = sorted({cell.shard for cell in self.cells})
        require(len(shards) == 1, f"an evaluation's cells must be of one subject, found {shards}")
        own = ", ".join(cell.id for cell in self.cells if cell in model.cells)
        require(not own or self.drop_seen, f"{own}: the trial {model.id} scores its own cells")

    @property
    def method(self) -> str:
        """Name the method: ``transfer-contrastive``, of another data set ``nod-contrastive``.

        ``-unseen`` after it stands for scores without the images that the trunk was trained on.
        """
        return f"{self._relation}-{self.model.method}{self._unseen}"

    @property
    def _relation(self) -> str:
        dataset = self.cells[0].dataset
        return TRANSFER if dataset == self.model.cells[0].dataset else dataset

    @property
    def _unseen(self) -> str:
        return "-unseen" if self.drop_seen else ""

    def method_on(self, cell: Cell) -> str:
        """Name the method of a cell's scores, so that a table mixes them with no others.

        It is :attr:`method` where the trunk was tuned on the same ROI and hemisphere of other
        subjects (of NSD, for a cell of NOD), the model's own on a cell that it was tuned on, and
        ``other-region-contrastive`` elsewhere.
        """
        if cell in self.model.cells:
            return f"{self.model.method}{self._unseen}"
        if any(serves(one, cell) for one in self.model.cells):
            return self.method
        return f"{OTHER_REGION}-{self.model.method}{self._unseen}"

    @cached_property
    def id(self) -> str:
        """Name the scores and the MLflow run: ``transfer-<model>-on-<subject>-<digest>``."""
        content = {
            "model": self.model.training_id,
            "encoding": asdict(self.encoding),
            "on": self.cells[0].shard,
            "data": self.cells[0].data,
            "drop_seen": self.drop_seen,
        }
        model = self.model.training_id.rpartition("-")[0]
        place = f"{self._relation}-{model}-on-{self.cells[0].shard}{self._unseen}"
        return f"{place}-{digest(content)}"

    @property
    def training_id(self) -> str:
        """Name the checkpoint that the trunk is taken from."""
        return self.model.training_id

    @property
    def trained_on(self) -> str | None:
        """Name the cells that the trunk was tuned on, with spaces between."""
        return self.model.trained_on

    @property
    def trunk(self) -> Trunk:
        """Return the trunk's architecture, and the weights that its tuning started from."""
        return self.model.trunk

    @property
    def encoding(self) -> Encoding:
        """Return the model's encoding, which its scores here share with its own."""
        assert self.model.encoding is not None  # seen in __post_init__
        return self.model.encoding

    @property
    def shards(self) -> tuple[str, ...]:
        """Name the directory that holds the subject's images."""
        return (self.cells[0].shard,)

    def scoring(self, cells: Iterable[Cell]) -> Self:
        """Return the same evaluation, with other cells to score."""
        return replace(self, cells=tuple(cells))

    def to_json(self) -> str:
        """Serialise for a queue, a record or a file's metadata."""
        return json.dumps({**asdict(self), "model": json.loads(self.model.to_json())})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote; raise ValueError on unknown or missing keys."""
        content = as_mapping("evaluation", json.loads(text))
        parts: dict[str, Any] = {
            "model": Trial.from_json(json.dumps(content.get("model"))),
            "cells": [build_from(Cell, cell) for cell in content.get("cells", ())],
        }
        evaluation: Self = build_from(cls, {**content, **parts})
        return evaluation


Work = Trial | Evaluation
"""What a worker is given to do: each has an id, the cells to score, and the shards it reads."""


def read_work(text: str) -> Work:
    """Read a trial or an evaluation from its JSON; raise ValueError when it is neither."""
    content = as_mapping("work", json.loads(text))
    return Evaluation.from_json(text) if "model" in content else Trial.from_json(text)


def method_on(work: Work, cell: Cell) -> str:
    """Name the method of a work's scores on one of its cells."""
    return work.method_on(cell) if isinstance(work, Evaluation) else work.method


def setting_source(work: Work) -> Trial:
    """Return the trial whose settings made a work's scores: itself, or the evaluated model."""
    return work.model if isinstance(work, Evaluation) else work
