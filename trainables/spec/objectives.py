"""The objectives: how a backbone is fine-tuned, if at all. Defaults are the paper's settings."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, TypeAdapter

from trainables.spec.fields import Count, Int, Number, Positive, Share, refusal
from trainables.spec.records import one_kind_of, record
from trainables.spec.tune import ALL, Tune

BatchSize = Annotated[Int, Field(ge=2, le=2**20)]
"""Images per batch, at least 2: contrastive learning and batch normalisation need two."""
Epochs = Annotated[Count, Field(le=10**6)]
"""Passes over the training images."""
LearningRate = Annotated[Positive, Field(le=100)]
"""Adam's learning rate."""
Temperature = Annotated[Positive, Field(ge=1e-4, le=1e4)]
"""Temperature of the contrastive loss; a cosine divided by it is a finite float32."""
LEARNED: Final = "learned"
"""A temperature that is trained with the weights."""
_TEMPERATURE: Final = TypeAdapter[float](Temperature)


def _temperature(value: Any) -> float | Literal["learned"]:
    if isinstance(value, str):
        if value == LEARNED:
            return LEARNED
        raise refusal(f"{LEARNED!r} or a number")
    return _TEMPERATURE.validate_python(value)


LearnableTemperature = Annotated[float | Literal["learned"], PlainValidator(_temperature)]
"""A constant temperature, or ``learned``."""
Direction = Literal["image", "both"]
Memory = Annotated[Int, Field(ge=0, le=2**20)]
"""A number of remembered responses."""
Ratio = Annotated[Positive, Field(le=100)]
"""Width of a head as a share of a number of vertices."""
UpToOne = Annotated[Number, Field(gt=0, le=1)]
"""A number above 0, up to 1."""
MAX_WIDTH: Final = 2**20
"""The largest constant width of a head."""


@record
class Untuned:
    """The pretrained backbone, unchanged: the baseline for every fine-tuned backbone."""

    method = "untuned"
    _derived = ("method",)


@record
class Regression:
    """Fine-tune backbone and a linear map to the responses by mean squared error (paper, 2.3)."""

    method = "regression"
    _derived = ("method",)
    learning_rate: LearningRate = 2.5e-5
    batch_size: BatchSize = 1024
    epochs: Epochs = 75
    validation: Share = 0.0
    """Share of the training images held back to measure retrieval after each epoch."""
    tune: Tune = ALL
    """What of the backbone is tuned: ``all``, ``from:LAYER``, or ``lora:RANK``."""


@record
class Contrastive:
    """Pull an image's features towards the response to it (METHOD: contrastive loss)."""

    method = "contrastive"
    _derived = ("method",)
    learning_rate: LearningRate = 1e-4
    batch_size: BatchSize = 1024
    epochs: Epochs = 30
    temperature: LearnableTemperature = 0.3
    """A constant; or ``learned``: trained from 0.3 on, at 100 times the learning rate."""
    hidden_ratio: Ratio = 0.8
    """Width of the shared head's input, as a share of the ROI's vertices."""
    embedding_ratio: Ratio = 0.2
    """Width of the shared head's output, as a share of the ROI's vertices."""
    direction: Direction = "image"
    """``image``: each image picks its response (the paper's). ``both``: each response picks its
    image too, and the loss is the mean of the two."""
    memory: Memory = 0
    """Responses of this many earlier images of the epoch that are negatives beside the batch's."""
    validation: Share = 0.0
    """Share of the training images held back to measure retrieval after each epoch."""
    tune: Tune = ALL
    """What of the backbone is tuned: ``all``, ``from:LAYER``, or ``lora:RANK``."""


LARGEST_ROI: Final = 5741
"""Vertices of NSD's largest ROI (subject 5, right EBA): the paper's constant width of a head."""

MEAN: Final = "mean"

Order = Literal["sequential", "interleaved"]


def _head_width(value: Any) -> int | Literal["mean"]:
    if value == MEAN:
        return MEAN
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and 1 <= value <= MAX_WIDTH and value == int(value):
        return int(value)
    raise refusal(f"{MEAN!r} or an integer from 1 to {MAX_WIDTH}")


HeadWidth = Annotated[int | Literal["mean"], PlainValidator(_head_width)]


@record
class Pooled:
    """Fine-tune one backbone contrastively on an ROI of several subjects (METHOD: pooled models).

    Backbone, image readout and head are shared; each subject has a separate response readout.
    """

    _derived = ("method",)

    learning_rate: LearningRate = 1e-4
    batch_size: BatchSize = 1024
    """Images per batch, all of one subject."""
    epochs: Epochs = 30
    temperature: Temperature = 0.3
    hidden_dim: HeadWidth = MEAN
    """Width of the shared head's input: the subjects' mean number of vertices, or a constant."""
    order: Order = "sequential"
    """Order of an epoch's batches: subject after subject (the paper's), or randomly interleaved."""
    validation: Share = 0.0
    """Share of each subject's training images held back to measure retrieval after each epoch."""
    tune: Tune = ALL
    """What of the backbone is tuned: ``all``, ``from:LAYER``, or ``lora:RANK``."""

    @property
    def method(self) -> str:
        """``pooled-avg`` for a mean head width, ``pooled-const`` for a constant one."""
        return "pooled-avg" if self.hidden_dim == MEAN else "pooled-const"


Width = Annotated[Count, Field(ge=2, le=MAX_WIDTH)]
"""A constant width of a head."""


@record
class SelfSupervised:
    """Fine-tune without responses: pull two augmented views of an image together (SimCLR).

    A control: what the training images alone change. The training depends on a subject's images,
    and on none of its ROIs.
    """

    method = "simclr"
    _derived = ("method",)

    learning_rate: LearningRate = 1e-4
    batch_size: BatchSize = 1024
    """Images per batch, each of which gives two views."""
    epochs: Epochs = 30
    temperature: Temperature = 0.3
    hidden_dim: Width = 512
    """Width of the head's input."""
    embedding_dim: Width = 128
    """Width of the head's output."""
    smallest_crop: UpToOne = 0.08
    """The smallest share of an image's area that a view shows."""
    colour_strength: Annotated[Number, Field(ge=0, le=1)] = 1.0
    """Strength of the changes of brightness, contrast, saturation and hue."""
    validation: Share = 0.0
    """Share of the training images left out, as in the objectives that this one is compared with;
    no retrieval is measured."""
    tune: Tune = ALL
    """What of the backbone is tuned: ``all``, ``from:LAYER``, or ``lora:RANK``."""


FinetunedOnRoi = Regression | Contrastive
Finetuned = Regression | Contrastive | Pooled | SelfSupervised
Objective = Untuned | Regression | Contrastive | Pooled | SelfSupervised
OBJECTIVES: Final[dict[str, type[Objective]]] = {
    "untuned": Untuned,
    "regression": Regression,
    "contrastive": Contrastive,
    "pooled-avg": Pooled,
    "pooled-const": Pooled,
    "simclr": SelfSupervised,
}

IMPLIED: Final[Mapping[str, object]] = {"direction": "image", "memory": 0, "tune": ALL}
"""Hyperparameters that are no part of an id where they have these values."""


def identifying(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that ids are made of: all but those that IMPLIED gives."""
    return {n: v for n, v in values.items() if not (n in IMPLIED and IMPLIED[n] == v)}


def _kind(content: Mapping[str, object]) -> type[Objective]:
    method = content.get("method")
    if not isinstance(method, str) or method not in OBJECTIVES:
        raise refusal(f"an objective whose method is one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[method]


AnyObjective = Annotated[Objective, one_kind_of(Objective, _kind)]
"""Any objective; its JSON includes the method's name."""
