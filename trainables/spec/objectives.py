"""The objectives: how a backbone is fine-tuned, or not, with the paper's settings as defaults."""

from dataclasses import dataclass
from typing import Final, Literal

from trainables.spec.values import require


@dataclass(frozen=True)
class Untuned:
    """The pretrained backbone as it is: the baseline that every fine-tuned backbone must beat."""

    method = "untuned"


@dataclass(frozen=True)
class Regression:
    """Fine-tune backbone and a linear map to the responses on mean squared error (paper, 2.3)."""

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
    """Width of the shared head's input, as a share of the ROI's vertices."""
    embedding_ratio: float = 0.2
    """Width of the shared head's output, as a share of the ROI's vertices."""
    validation: float = 0.0
    """Share of the training images held back to measure retrieval after each epoch."""

    def __post_init__(self) -> None:
        _check_training(self)
        require(self.temperature > 0, f"temperature {self.temperature}: expected a positive number")
        require(
            self.hidden_ratio > 0 and self.embedding_ratio > 0,
            f"hidden_ratio {self.hidden_ratio}, embedding_ratio {self.embedding_ratio}: "
            "expected positive shares of the ROI's vertices",
        )


LARGEST_ROI: Final = 5741
"""Vertices of NSD's largest ROI (subject 5, right EBA): the paper's constant width of a head."""

MEAN: Final = "mean"

Order = Literal["sequential", "interleaved"]
ORDERS: Final[tuple[Order, ...]] = ("sequential", "interleaved")


@dataclass(frozen=True)
class Pooled:
    """Tune one backbone contrastively on the same ROI of several subjects (METHOD: pooled models).

    Backbone, image readout and head are shared; each subject has a response readout of its own.
    """

    learning_rate: float = 1e-4
    batch_size: int = 1024
    """Images of a batch, all of one subject."""
    epochs: int = 30
    temperature: float = 0.3
    hidden_dim: int | Literal["mean"] = MEAN
    """Width of the shared head's input: the subjects' mean number of vertices, or a constant."""
    order: Order = "sequential"
    """How an epoch visits subjects: one after another (the paper's), or batches in random turns."""
    validation: float = 0.0
    """Share of each subject's training images held back to measure retrieval after each epoch."""

    def __post_init__(self) -> None:
        _check_training(self)
        require(self.temperature > 0, f"temperature {self.temperature}: expected a positive number")
        require(
            self.hidden_dim == MEAN or (isinstance(self.hidden_dim, int) and self.hidden_dim > 0),
            f"hidden_dim {self.hidden_dim!r}: expected {MEAN!r} or a number of units above 0",
        )
        require(self.order in ORDERS, f"order {self.order!r}: expected one of {ORDERS}")

    @property
    def method(self) -> str:
        """``pooled-avg`` or ``pooled-const``, by what sets the head's width."""
        return "pooled-avg" if self.hidden_dim == MEAN else "pooled-const"


FinetunedOnRoi = Regression | Contrastive
Finetuned = Regression | Contrastive | Pooled
Objective = Untuned | Regression | Contrastive | Pooled
OBJECTIVES: Final[dict[str, type[Objective]]] = {
    "untuned": Untuned,
    "regression": Regression,
    "contrastive": Contrastive,
    "pooled-avg": Pooled,
    "pooled-const": Pooled,
}


def _check_training(objective: Finetuned) -> None:
    name = objective.method
    require(
        objective.learning_rate > 0, f"{name}: learning_rate {objective.learning_rate} is not > 0"
    )
    require(objective.batch_size >= 2, f"{name}: batch_size {objective.batch_size} is below 2")
    require(objective.epochs >= 1, f"{name}: epochs {objective.epochs} is below 1")
    require(
        0 <= objective.validation < 1,
        f"{name}: validation {objective.validation} is not a share in [0, 1)",
    )
