"""What a trial is: frozen, validated values, and the ids made of their content.

An id is a readable prefix and eight hex digits of the content that changes the science.
Devices, workers and paths are not in it, so the same trial has the same id everywhere.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final, Literal, Self

from trainables.rois import HEMISPHERES

Protocol = Literal["nested", "paper", "released"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("nested", "paper", "released")

ALEXNET_LAYERS: Final = (
    "features.2",
    "features.5",
    "features.7",
    "features.9",
    "features.12",
    "classifier.2",
    "classifier.5",
    "classifier.6",
)


def digest(content: object) -> str:
    """Hash JSON-able content to 8 hex digits, whatever the order of its keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class Cell:
    """One (subject, hemisphere, ROI) of a dataset: what a model is fitted to and scored on."""

    dataset: str
    subject: str
    hemisphere: str
    roi: str
    n_vertices: int
    data: str
    """Digest of the subject's shards (responses, split, image size), from their manifest."""

    def __post_init__(self) -> None:
        _require(
            self.hemisphere in HEMISPHERES,
            f"cell {self.id}: hemisphere {self.hemisphere!r}; expected one of {HEMISPHERES}",
        )
        _require(self.n_vertices > 0, f"cell {self.id}: an ROI without vertices is no cell")

    @property
    def id(self) -> str:
        """``nsd-subj01-lh-V1v``."""
        return f"{self.dataset}-{self.subject}-{self.hemisphere}-{self.roi}"

    @property
    def shard(self) -> str:
        """Name the dataset directory that holds this cell's images: ``nsd-subj01``."""
        return f"{self.dataset}-{self.subject}"


@dataclass(frozen=True)
class Untuned:
    """The pretrained trunk as it is: the baseline that every tuned trunk must beat."""

    method = "untuned"


@dataclass(frozen=True)
class Regression:
    """Fine-tune trunk and a linear map to the responses on mean squared error (paper, 2.3)."""

    method = "regression"
    learning_rate: float = 2.5e-5
    batch_size: int = 1024
    epochs: int = 75
    validation: float = 0.0
    """Share of the training images held back to measure retrieval after each epoch."""

    def __post_init__(self) -> None:
        _check_training(self)


@dataclass(frozen=True)
class Contrastive:
    """Pull an image's features towards the response to it (METHOD: contrastive loss)."""

    method = "contrastive"
    learning_rate: float = 1e-4
    batch_size: int = 1024
    epochs: int = 30
    temperature: float = 0.3
    hidden_ratio: float = 0.8
    """Width of the shared head's input, as a share of the cell's vertices."""
    embedding_ratio: float = 0.2
    """Width of the shared head's output, as a share of the cell's vertices."""
    validation: float = 0.0
    """Share of the training images held back to measure retrieval after each epoch."""

    def __post_init__(self) -> None:
        _check_training(self)
        _require(
            self.temperature > 0, f"temperature {self.temperature}: expected a positive number"
        )
        _require(
            self.hidden_ratio > 0 and self.embedding_ratio > 0,
            f"hidden_ratio {self.hidden_ratio}, embedding_ratio {self.embedding_ratio}: "
            "expected positive shares of the cell's vertices",
        )


Tuned = Regression | Contrastive
Objective = Untuned | Regression | Contrastive
OBJECTIVES: Final[dict[str, type[Objective]]] = {
    "untuned": Untuned,
    "regression": Regression,
    "contrastive": Contrastive,
}


def _check_training(objective: Tuned) -> None:
    name = objective.method
    _require(
        objective.learning_rate > 0, f"{name}: learning_rate {objective.learning_rate} is not > 0"
    )
    _require(objective.batch_size >= 2, f"{name}: batch_size {objective.batch_size} is below 2")
    _require(objective.epochs >= 1, f"{name}: epochs {objective.epochs} is below 1")
    _require(
        0 <= objective.validation < 1,
        f"{name}: validation {objective.validation} is not a share in [0, 1)",
    )


FROM_FILE: Final = "file"
"""Weights of a search space that leaves the file to ``--weights``."""


@dataclass(frozen=True)
class Trunk:
    """An image CNN by name, and the weights it starts from."""

    architecture: str = "alexnet"
    weights: str = "IMAGENET1K_V1"
    """torchvision's name of the weights, or ``sha256:…`` of a state dict given by file.

    A search space may say ``file`` (FROM_FILE): the plan puts the hash of ``--weights`` there.
    """


@dataclass(frozen=True)
class Encoding:
    """How features predict responses: exact PCA, ridge, and the protocols that choose."""

    layers: tuple[str, ...] = ALEXNET_LAYERS
    protocols: tuple[Protocol, ...] = ("nested",)
    n_components: int = 1000
    alphas: tuple[float, ...] = tuple(10.0**power for power in range(-1, 8))
    n_folds: int = 5

    def __post_init__(self) -> None:
        for name in ("layers", "protocols", "alphas"):
            _require(len(getattr(self, name)) > 0, f"encoding: {name} is empty")
        unknown = [name for name in self.protocols if name not in PROTOCOLS]
        _require(not unknown, f"encoding: unknown protocols {unknown}; expected {PROTOCOLS}")
        _require(self.n_folds >= 2, f"encoding: n_folds {self.n_folds} is below 2")
        _require(self.n_components >= 1, f"encoding: n_components {self.n_components} is below 1")
        _require(all(alpha > 0 for alpha in self.alphas), "encoding: every alpha must be > 0")


@dataclass(frozen=True)
class Trial:
    """One trunk, tuned (or not) and scored on its cells.

    An untuned trial is the trunk on one subject's images: its id does not depend on which
    of the subject's cells are scored, so that they share one pass over the images.
    """

    objective: Objective
    cells: tuple[Cell, ...]
    trunk: Trunk = field(default_factory=Trunk)
    encoding: Encoding = field(default_factory=Encoding)
    seed: int = 0

    def __post_init__(self) -> None:
        _require(len(self.cells) > 0, "a trial needs at least one cell")
        shards = sorted({cell.shard for cell in self.cells})
        _require(len(shards) == 1, f"a trial's cells must be of one subject, found {shards}")
        _require(
            isinstance(self.objective, Untuned) or len(self.cells) == 1,
            f"a {self.method} trial is tuned on one cell, found {len(self.cells)}",
        )

    @property
    def method(self) -> str:
        """``untuned``, ``regression`` or ``contrastive``."""
        return self.objective.method

    @property
    def shard(self) -> str:
        """Name the dataset directory that holds this trial's images."""
        return self.cells[0].shard

    @property
    def _training(self) -> dict[str, Any]:
        content = {
            "objective": {"method": self.method, **asdict(self.objective)},
            "trunk": asdict(self.trunk),
            "data": self.cells[0].data,
            "on": self._place,
        }
        return content if isinstance(self.objective, Untuned) else {**content, "seed": self.seed}

    @property
    def _place(self) -> str:
        return self.shard if isinstance(self.objective, Untuned) else self.cells[0].id

    @property
    def training_id(self) -> str:
        """Name the checkpoint: everything that changes the tuned weights, and nothing else."""
        return f"{self.method}-{self._place}-{digest(self._training)}"

    @property
    def id(self) -> str:
        """Name the scores and the MLflow run: the training and how it is encoded."""
        content = {**self._training, "encoding": asdict(self.encoding)}
        return f"{self.method}-{self._place}-{digest(content)}"

    def scoring(self, cells: Iterable[Cell]) -> Self:
        """Return the same trial, with other cells to score."""
        return replace(self, cells=tuple(cells))

    def to_json(self) -> str:
        """Serialise for a queue, a record or a file's metadata."""
        return json.dumps(
            {**asdict(self), "objective": {"method": self.method, **asdict(self.objective)}}
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote; raise ValueError on unknown or missing keys."""
        content = _mapping("trial", json.loads(text))
        objective = dict(_mapping("objective", content.get("objective")))
        method = objective.pop("method", None)
        _require(method in OBJECTIVES, f"trial: unknown method {method!r}")
        parts = {
            "objective": _build(OBJECTIVES[method], objective),
            "cells": [_build(Cell, cell) for cell in content.get("cells", ())],
            "trunk": _build(Trunk, content.get("trunk", {})),
            "encoding": _build(Encoding, content.get("encoding", {})),
        }
        trial: Self = _build(cls, {**content, **parts})
        return trial


def _mapping(name: str, content: Any) -> dict[str, Any]:
    _require(isinstance(content, dict), f"{name}: expected an object, found {content!r:.80}")
    return content  # type: ignore[no-any-return]


def _build(kind: type[Any], content: Any) -> Any:
    """Build a dataclass from JSON, with lists back to tuples and no key left over."""
    names = {item.name for item in fields(kind)}
    unknown = sorted(set(_mapping(kind.__name__, content)) - names)
    _require(not unknown, f"{kind.__name__}: unknown keys {unknown}; expected {sorted(names)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    try:
        return kind(**values)
    except TypeError as error:  # a key without a default is missing, or a value of another type
        raise ValueError(f"{kind.__name__}: {error}") from error
