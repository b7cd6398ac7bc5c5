"""Settings: what distinguishes the trials of one ROI, apart from the seed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any, Final

from trainables.spec.evaluation import WorkItem, training_of
from trainables.spec.objectives import identifying
from trainables.spec.trial import Trial
from trainables.spec.values import digest

NOT_IN_SETTING: Final = ("rois", "seed", "tuned_on", "source")
"""Fields of a trial that are no part of its setting as they are."""

OF_IMAGES: Final = ("pixels", "image_size", "crop")
"""Fields of backbones that are absent from a setting where they are None: ImageNet's pixels, and
whole images of the size of the data's rows."""

Value = bool | int | float | str | tuple[Any, ...] | None


@dataclass(frozen=True)
class Setting:
    """How a backbone is fine-tuned and encoded, wherever it is, and with whichever seed.

    Two settings are equal where all their values are.
    """

    items: tuple[tuple[str, Value], ...]
    """Names and values, in the order of the fields of trials."""

    @property
    def values(self) -> Mapping[str, Value]:
        """Return the values by name, such as ``method``, ``temperature`` and ``layers``.

        Hyperparameters that an objective does not have are absent, as is the encoding of a trial
        that is not scored.
        """
        return dict(self.items)

    @cached_property
    def digest(self) -> str:
        """Hash the values that identify the setting to 8 hex digits, the same on every ROI."""
        return digest(identifying(self.values))


def setting_of(work_item: WorkItem) -> Setting:
    """Return the setting of a trial; an evaluation has the setting of its model.

    Every field of the trial is in it but NOT_IN_SETTING, those of records under their own names.
    Of another ROI that the trial is tuned on, its name, and its hemisphere if that is the other.
    """
    trial = training_of(work_item)
    values = (("method", trial.method), *_values_of(trial), ("tuned_on", _tuned_on(trial)))
    return Setting(values)


def _tuned_on(trial: Trial) -> str | None:
    other = trial.tuned_on
    if other is None:
        return None
    is_beside = other.hemisphere == trial.rois[0].hemisphere
    return other.name if is_beside else f"{other.hemisphere}-{other.name}"


def _values_of(record: Any) -> Iterator[tuple[str, Value]]:
    """Yield the names and values of a record's fields, and of the records in them."""
    for one in fields(record):
        value = getattr(record, one.name)
        if one.name in NOT_IN_SETTING or (value is None and one.name in OF_IMAGES):
            continue
        if is_dataclass(value):
            yield from _values_of(value)
        else:
            yield one.name, value


def is_named(work_item: WorkItem, name: str) -> bool:
    """Return whether a name is a trial's id, its beginning, or its setting's 8 hex digits."""
    return work_item.id.startswith(name) or setting_of(work_item).digest == name
