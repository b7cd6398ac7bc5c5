"""Evaluations: a fine-tuned backbone scored on a subject's ROIs, without training."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from functools import cached_property
from typing import Annotated, Final, Self, TypeVar

from trainables.spec.backbone import Backbone
from trainables.spec.fields import Count, Flag
from trainables.spec.records import build_any, one_kind_of, parse, parse_json, record
from trainables.spec.rois import NSD_OF_NOD, NSD_SYNTHETIC, Roi, require_distinct
from trainables.spec.trial import Encoding, Trial
from trainables.spec.values import digest, require

TRANSFER: Final = "transfer"
OTHER_REGION: Final = "other-region"


def serves(own: Roi, target: Roi) -> bool:
    """Return whether a model of one ROI serves another: the same area and hemisphere.

    NOD's areas are served by the NSD ROIs that stand for them, NSD-synthetic's by the same of NSD.
    """
    has_own_names = target.dataset in (own.dataset, NSD_SYNTHETIC)
    roi_name = target.name if has_own_names else NSD_OF_NOD.get(target.name)
    return own.hemisphere == target.hemisphere and own.name == roi_name


@record
class Evaluation:
    """A fine-tuned trial's backbone, scored on one subject's ROIs as the trial's encoding says.

    PCA and ridge regression are fitted to the images of the scored subject. The id does not
    depend on which of that subject's ROIs are scored, so they share one pass over the images.
    """

    model: Trial
    rois: tuple[Roi, ...]
    exclude_training_images: Flag = False
    """Measure r without the images that the backbone was trained on."""
    image_size: Count | None = None
    """Pixels of the images that the model was fine-tuned on, where the rows of the scored subject
    have another size and the model's backbone names none."""

    def __post_init__(self) -> None:
        model = self.model
        require(
            model.is_of_own_rois,
            f"{model.id}: expected a fine-tuned trial, on its own ROIs' responses",
        )
        require(model.encoding is not None, f"{model.id}: expected a trial with an encoding")
        require(
            self.image_size is None or model.backbone.image_size is None,
            f"{model.id}: expected no image_size beside that of its backbone",
        )
        require(len(self.rois) > 0, "an evaluation needs at least one ROI")
        require_distinct(self.rois)
        shards = sorted({roi.shard for roi in self.rois})
        require(len(shards) == 1, f"an evaluation's ROIs must be of one subject, found {shards}")
        own = ", ".join(roi.id for roi in self.rois if roi in model.rois)
        require(
            not own or self.exclude_training_images,
            f"{own}: the trial {model.id} scores its own ROIs",
        )

    @property
    def method(self) -> str:
        """Name the method: ``transfer-contrastive``, or ``nod-contrastive`` on NOD's subjects.

        ``-no-overlap`` after it stands for scores without the images that the backbone was trained
        on.
        """
        return f"{self._relation}-{self.model.method}{self._suffix}"

    @property
    def _relation(self) -> str:
        dataset = self.rois[0].dataset
        return TRANSFER if dataset == self.model.rois[0].dataset else dataset

    @property
    def _suffix(self) -> str:
        return "-no-overlap" if self.exclude_training_images else ""

    def method_on(self, roi: Roi) -> str:
        """Name the method of an ROI's scores, so that tables keep them apart from other scores.

        It is :attr:`method` where the backbone was fine-tuned on the same ROI and hemisphere of
        other subjects (of NSD, for an ROI of NOD), the model's own on an ROI that it was fine-tuned
        on, and ``other-region-contrastive`` elsewhere.
        """
        if roi in self.model.rois:
            return f"{self.model.method}{self._suffix}"
        if any(serves(one, roi) for one in self.model.rois):
            return self.method
        return f"{OTHER_REGION}-{self.model.method}{self._suffix}"

    @cached_property
    def id(self) -> str:
        """Name the scores and the MLflow run: ``transfer-<model>-on-<subject>-<digest>``."""
        content: dict[str, object] = {
            "model": self.model.training_id,
            "encoding": asdict(self.encoding),
            "on": self.rois[0].shard,
            "data": self.rois[0].data,
            "exclude_training_images": self.exclude_training_images,
        }
        if self.image_size is not None:
            content["image_size"] = self.image_size
        model = self.model.training_id.rpartition("-")[0]
        place = f"{self._relation}-{model}-on-{self.rois[0].shard}{self._suffix}"
        return f"{place}-{digest(content)}"

    @property
    def training_id(self) -> str:
        """Name the checkpoint that the backbone is taken from."""
        return self.model.training_id

    @property
    def trained_on(self) -> str | None:
        """Name the ROIs that the backbone was fine-tuned on, separated by spaces."""
        return self.model.trained_on

    @property
    def backbone(self) -> Backbone:
        """Return the architecture, the weights that fine-tuning started from, and the images."""
        backbone = self.model.backbone
        return replace(backbone, image_size=self.image_size) if self.image_size else backbone

    @property
    def encoding(self) -> Encoding:
        """Return the model's encoding, which this evaluation uses too."""
        assert self.model.encoding is not None  # checked in __post_init__
        return self.model.encoding

    @property
    def shards(self) -> tuple[str, ...]:
        """Name the directory that holds the subject's images."""
        return (self.rois[0].shard,)

    def scoring(self, rois: Iterable[Roi]) -> Self:
        """Return the same evaluation, with other ROIs to score."""
        return replace(self, rois=tuple(rois))

    def to_json(self) -> str:
        """Serialise to JSON, for a queue, a record or a file's metadata."""
        return json.dumps({**asdict(self), "model": json.loads(self.model.to_json())})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what :meth:`to_json` wrote; raise ValueError on anything else."""
        return parse(cls, text)


WorkItem = Trial | Evaluation
"""One unit of work for a worker: it has an id, ROIs to score, and shards to read."""
Kind = TypeVar("Kind", Trial, Evaluation, WorkItem)


def _kind(content: Mapping[str, object]) -> type[WorkItem]:
    return Evaluation if "model" in content else Trial


AnyWorkItem = Annotated[WorkItem, one_kind_of(WorkItem, _kind)]
"""A trial or an evaluation, as a field of a record."""


def read_work_item(text: str | bytes) -> WorkItem:
    """Read a trial or an evaluation from its JSON; raise ValueError when it is neither."""
    work_item: WorkItem = build_any(AnyWorkItem, parse_json(text))
    return work_item


def with_rois_of(work_item: Kind, other: Kind) -> Kind:
    """Return a trial or an evaluation with the ROIs of another part of it, each once."""
    rois = dict.fromkeys((*work_item.rois, *other.rois))
    return work_item if len(rois) == len(work_item.rois) else work_item.scoring(rois)


def method_on(work_item: WorkItem, roi: Roi) -> str:
    """Name the method of a work item's scores on one of its ROIs."""
    return work_item.method_on(roi) if isinstance(work_item, Evaluation) else work_item.method


def training_of(work_item: WorkItem) -> Trial:
    """Return the trial that produced the model: the work item itself, or the evaluated model."""
    return work_item.model if isinstance(work_item, Evaluation) else work_item
