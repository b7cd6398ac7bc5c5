"""Trials: frozen, validated values, with ids made from their content.

An id is a readable prefix and eight hex digits that hash whatever affects the scientific result.
Devices, workers and paths are excluded, so a trial has the same id on every machine.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, field, replace
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field

from trainables.spec.backbone import Backbone
from trainables.spec.fields import Count, Flag, Int, Label, Positive, Seed, ascending, distinct
from trainables.spec.objectives import (
    AnyObjective,
    FinetunedOnRoi,
    Pooled,
    SelfSupervised,
    Untuned,
    identifying,
)
from trainables.spec.records import parse, record
from trainables.spec.rois import Roi, require_distinct
from trainables.spec.values import digest, require

Protocol = Literal["nested", "clean", "paper", "released"]
PROTOCOLS: Final[tuple[Protocol, ...]] = ("nested", "clean", "paper", "released")
CLEAN: Final[Protocol] = "clean"
CLEAN_SHARE: Final = 0.2
"""The last share of a subject's training images, on which ``clean`` chooses and fits."""
Precision = Literal["float32", "bfloat16"]
FULL: Final[Precision] = "float32"
PRECISIONS: Final[tuple[Precision, ...]] = (FULL, "bfloat16")

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


_A_FEW: Final = Field(min_length=1, max_length=1000)


@record
class Encoding:
    """How features predict responses: PCA, ridge regression, and protocols of model selection."""

    layers: Annotated[tuple[Label, ...], _A_FEW, AfterValidator(distinct)] = ALEXNET_LAYERS
    protocols: Annotated[tuple[Protocol, ...], _A_FEW, AfterValidator(distinct)] = ("nested",)
    n_components: Annotated[Count, Field(le=10**6)] = 1000
    alphas: Annotated[tuple[Positive, ...], _A_FEW, AfterValidator(ascending)] = tuple(
        10.0**power for power in range(-1, 8)
    )
    n_folds: Annotated[Int, Field(ge=2, le=10**6)] = 5


@record
class Trial:
    """One backbone, fine-tuned (or not) and scored on its ROIs.

    An untuned trial applies the pretrained backbone to one subject's images. Its id does not
    depend on which of the subject's ROIs are scored, so they share one pass over the images. A
    pooled trial is fine-tuned on all its ROIs, one per subject, in the given order.
    """

    objective: AnyObjective
    rois: tuple[Roi, ...]
    backbone: Backbone = field(default_factory=Backbone)
    encoding: Encoding | None = field(default_factory=Encoding)
    """None: the trial is fine-tuned and ranked by its retrieval only; no test image is used."""
    seed: Seed = 0
    precision: Precision = FULL
    """Precision of the backbone's forward pass in fine-tuning; everything else is float32."""
    deterministic: Flag = False
    """Use full float32 and no fast path: bitwise reproducible results on one machine."""
    permuted: Flag = False
    """A control: fine-tune on the ROI's responses permuted over the training images.

    Scores are always of the true responses."""
    tuned_on: Roi | None = None
    """A control: fine-tune on the responses of this other ROI of the subject; None: the trial's."""

    def __post_init__(self) -> None:
        require(len(self.rois) > 0, "a trial needs at least one ROI")
        require_distinct(self.rois)
        require(
            self.precision == FULL or not isinstance(self.objective, Untuned),
            f"an untuned trial is of float32, found {self.precision}",
        )
        require(
            self.precision == FULL or not self.deterministic,
            f"a deterministic trial is of float32, found {self.precision}",
        )
        require(
            self.encoding is not None or not isinstance(self.objective, Untuned),
            "an untuned trial without encoding has nothing to do",
        )
        self._check_control()
        self._check_clean()
        if isinstance(self.objective, Pooled):
            self._check_pooled()
            return
        shards = sorted(self.shards)
        require(len(shards) == 1, f"a trial's ROIs must be of one subject, found {shards}")
        require(
            self.is_of_subject or len(self.rois) == 1,
            f"a {self.method} trial is fine-tuned on one ROI, found {len(self.rois)}",
        )

    def _check_control(self) -> None:
        """Check the fields of controls."""
        other = self.tuned_on
        is_control = self.permuted or other is not None
        require(
            not is_control or isinstance(self.objective, FinetunedOnRoi),
            f"a control of responses is fine-tuned on one ROI, found {self.objective.method}",
        )
        if other is None:
            return
        own = self.rois[0]
        require(not self.permuted, "a control has permuted responses or another ROI's, found both")
        require(self.encoding is not None, "a trial tuned on another ROI needs an encoding")
        require(
            (other.shard, other.data) == (own.shard, own.data) and other not in self.rois,
            f"tuned_on: expected another ROI of {own.shard}, found {other.id}",
        )

    def _check_clean(self) -> None:
        """Check that images are held back for the protocol that needs some."""
        if self.encoding is None or CLEAN not in self.encoding.protocols:
            return
        held_back = 1.0 if isinstance(self.objective, Untuned) else self.objective.validation
        require(
            held_back >= CLEAN_SHARE,
            f"the protocol {CLEAN} needs images that the backbone is not tuned on: expected a "
            f"validation of at least {CLEAN_SHARE:g}, found {held_back:g}",
        )

    def _check_pooled(self) -> None:
        found = ", ".join(roi.id for roi in self.rois)
        regions = {(roi.dataset, roi.hemisphere, roi.name) for roi in self.rois}
        require(len(regions) == 1, f"a {self.method} trial is of one ROI, found {found}")
        require(
            len(self.shards) == len(self.rois) >= 2,
            f"a {self.method} trial pools two subjects or more, one ROI each, found {found}",
        )

    @property
    def method(self) -> str:
        """Name the method: the objective's, after ``permuted-`` or ``cross-roi-`` for a control."""
        control = "permuted-" if self.permuted else "cross-roi-" if self.tuned_on else ""
        return f"{control}{self.objective.method}"

    @property
    def is_of_subject(self) -> bool:
        """Return whether the backbone depends on no ROI: it is untuned, or tuned on images alone.

        The id of such a trial does not depend on which of the subject's ROIs are scored.
        """
        return isinstance(self.objective, Untuned | SelfSupervised)

    @property
    def trained_rois(self) -> tuple[Roi, ...]:
        """Return the ROIs whose responses the backbone is fine-tuned on; empty if there are none.

        A pooled model has several, of different subjects.
        """
        if self.is_of_subject:
            return ()
        return self.rois if self.tuned_on is None else (self.tuned_on,)

    @cached_property
    def shards(self) -> tuple[str, ...]:
        """Name the dataset directories that hold this trial's images, one per subject."""
        return tuple(dict.fromkeys(roi.shard for roi in self.rois))

    @property
    def is_of_own_rois(self) -> bool:
        """Return whether the backbone is fine-tuned on the ROIs that it is scored on."""
        return self.trained_rois == self.rois

    @property
    def trained_on(self) -> str | None:
        """Name the ROIs of the fine-tuning, separated by spaces; None without any."""
        return " ".join(roi.id for roi in self.trained_rois) or None

    @property
    def _training(self) -> dict[str, Any]:
        pooled = isinstance(self.objective, Pooled)
        content: dict[str, Any] = {
            "objective": {
                "method": self.objective.method,
                **identifying(asdict(self.objective)),
            },
            "backbone": self.backbone.content,
            "data": [roi.data for roi in self.rois] if pooled else self.rois[0].data,
            "on": [roi.id for roi in self.rois] if pooled else self._trained_place,
            **({"deterministic": True} if self.deterministic else {}),
            **({"permuted": True} if self.permuted else {}),
        }
        if isinstance(self.objective, Untuned):
            return content
        content["seed"] = self.seed
        return content if self.precision == FULL else {**content, "precision": self.precision}

    @property
    def place(self) -> str:
        """Name what is fitted: the ROI, a pooled model's region, or the subject of all ROIs."""
        roi = self.rois[0]
        if isinstance(self.objective, Pooled):
            return f"{roi.dataset}-{roi.hemisphere}-{roi.name}"
        return roi.shard if self.is_of_subject else roi.id

    @property
    def _trained_place(self) -> str:
        return self.place if self.tuned_on is None else self.tuned_on.id

    @cached_property
    def training_id(self) -> str:
        """Name the checkpoint, by exactly the settings that affect the fine-tuned weights.

        A trial tuned on another ROI has the checkpoint of that ROI's own trial.
        """
        method = self.method if self.tuned_on is None else self.objective.method
        return f"{method}-{self._trained_place}-{digest(self._training)}"

    @cached_property
    def id(self) -> str:
        """Name the scores and the MLflow run, by the training and the encoding."""
        if self.encoding is None:
            return self.training_id
        content = {**self._training, "encoding": asdict(self.encoding)}
        if self.tuned_on is not None:
            content["scored"] = self.place
        return f"{self.method}-{self.place}-{digest(content)}"

    def in_precision(self, precision: Precision) -> Self:
        """Return the same trial in a precision; an untuned trial is returned unchanged."""
        if isinstance(self.objective, Untuned):
            return self
        return replace(self, precision=precision)

    def repeated(self, seeds: int) -> tuple[Self, ...]:
        """Return the same trial with so many seeds, its own and the next; an untuned one has none.

        A search space writes ``yield from Trial(...).repeated(seeds=3)``.
        """
        if isinstance(self.objective, Untuned):
            return (self,)
        return tuple(replace(self, seed=self.seed + number) for number in range(seeds))

    def as_deterministic(self) -> Self:
        """Return the same trial as a deterministic one, in float32."""
        return replace(self, precision=FULL, deterministic=True)

    def scoring(self, rois: Iterable[Roi]) -> Self:
        """Return the same trial, with other ROIs to score."""
        return replace(self, rois=tuple(rois))

    def to_json(self) -> str:
        """Serialise to JSON, for a queue, a record or a file's metadata."""
        return json.dumps(
            {
                **asdict(self),
                "objective": {"method": self.objective.method, **asdict(self.objective)},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote; raise ValueError on anything else."""
        return parse(cls, text)
