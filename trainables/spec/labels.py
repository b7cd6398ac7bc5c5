"""Labels of settings: what differs between the settings that are present, by name.

A label is text such as ``contrastive temperature=0.1 learning_rate=0.001``: the method, and those
values in which the present settings of the method differ. A method of one setting is its own label.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from trainables.spec.evaluation import Evaluation, WorkItem, method_on, training_of
from trainables.spec.objectives import Untuned
from trainables.spec.rois import Roi
from trainables.spec.setting import Value, setting_of
from trainables.spec.values import digest

SHORT: Final = {
    "temperature": "τ",
    "learning_rate": "rate",
    "epochs": "epochs",
    "batch_size": "batch",
    "hidden_ratio": "h/n",
    "embedding_ratio": "z/n",
    "direction": "dir",
    "memory": "mem",
}
"""Short names of hyperparameters, for tables and lines with little room."""
ASCII: Final = {"τ": "temp", "…": ".."}
"""What stands for characters that a terminal may not have."""
LONGEST: Final = 30
"""Most characters of a value in a label; longer ones are cut."""


@dataclass(frozen=True)
class Labels:
    """The labels of some trials and evaluations, by the settings among them."""

    texts: Mapping[str, Mapping[str, Mapping[Value, str]]]
    """By method of the training and name of a value that differs: the text of each value."""
    several_seeds: bool
    several_datasets: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Name all values in which settings of a method differ."""
        return tuple(dict.fromkeys(name for one in self.texts.values() for name in one))

    def values(self, work_item: WorkItem) -> dict[str, str]:
        """Return the values in which a work item's setting differs from others of its method."""
        texts = self.texts.get(training_of(work_item).method, {})
        values = setting_of(work_item).values if texts else {}
        return {name: of_name[values.get(name)] for name, of_name in texts.items()}

    def of(self, work_item: WorkItem, roi: Roi) -> str:
        """Name the method of a work item's scores on an ROI, with the values that differ."""
        return join_label(method_on(work_item, roi), self.values(work_item))

    def of_trial(self, work_item: WorkItem) -> str:
        """Name a work item in a line: ``contrastive subj01 lh V1v τ=0.1 seed 2``.

        The seed is named where several are present, the data set likewise.
        """
        trial = training_of(work_item)
        values = " ".join(f"{SHORT.get(k, k)}={v}" for k, v in self.values(work_item).items())
        tuned = not isinstance(trial.objective, Untuned)
        seed = f"seed {trial.seed}" if tuned and self.several_seeds else ""
        is_evaluation = isinstance(work_item, Evaluation)
        target = f"on {self._place(work_item, whole=False)}" if is_evaluation else ""
        place = self._place(trial, whole=tuned)
        return " ".join(filter(None, (work_item.method, place, values, seed, target)))

    def _place(self, work_item: WorkItem, *, whole: bool) -> str:
        """Name a work item's subjects and, if ``whole``, the hemisphere and ROI."""
        roi = work_item.rois[0]
        subjects = "+".join(dict.fromkeys(one.subject for one in work_item.rois))
        dataset = roi.dataset if self.several_datasets else ""
        where = f"{roi.hemisphere} {roi.name}" if whole else ""
        return " ".join(filter(None, (dataset, subjects, where)))


def labels_of(work_items: Iterable[WorkItem]) -> Labels:
    """Make the labels of trials and evaluations from the settings that are present among them."""
    settings: dict[str, dict[str, Mapping[str, Value]]] = {}
    seeds: set[int] = set()
    datasets: set[str] = set()
    for one in work_items:
        trial, setting = training_of(one), setting_of(one)
        settings.setdefault(trial.method, {}).setdefault(setting.digest, setting.values)
        datasets.update(roi.dataset for roi in (one.rois[0], trial.rois[0]))
        if not isinstance(trial.objective, Untuned):
            seeds.add(trial.seed)
    texts = {method: _texts(list(found.values())) for method, found in settings.items()}
    return Labels(texts, len(seeds) > 1, len(datasets) > 1)


def _texts(settings: list[Mapping[str, Value]]) -> dict[str, dict[Value, str]]:
    """Return the text of each value of each name in which settings differ."""
    names = dict.fromkeys(name for one in settings for name in one)
    found = {name: list(dict.fromkeys(one.get(name) for one in settings)) for name in names}
    return {name: format_values(values) for name, values in found.items() if len(values) > 1}


def format_values(values: Iterable[Value]) -> dict[Value, str]:
    """Format values of one name, as short as keeps them apart: numbers to three digits or more."""
    listed = list(values)
    for digits in range(3, 18):
        texts = {value: _text(value, digits) for value in listed}
        if len(set(texts.values())) == len(texts):
            return texts
    return {value: f"{_text(value, 17)}#{digest(value)}" for value in listed}


def _text(value: Value, digits: int) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = ",".join(_text(one, digits) for one in value) if isinstance(value, tuple) else str(value)
    text = re.sub(r"\s+", "_", text)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 10]}…{text[-8:]}"


def join_label(method: str, values: Mapping[str, str]) -> str:
    """Join a method and values to a label."""
    return " ".join([method, *(f"{name}={value}" for name, value in values.items())])


def split_label(label: str) -> tuple[str, dict[str, str]]:
    """Split a label into its method and its values by name."""
    method, *parts = label.split(" ")
    return method, {name: value for name, _, value in (part.partition("=") for part in parts)}


def method_of(label: str) -> str:
    """Return the method of a label."""
    return label.partition(" ")[0]


def natural(text: str) -> tuple[int, float, str]:
    """Make a key that sorts numbers by size, before other texts."""
    try:
        return (0, float(text), text)
    except ValueError:
        return (1, 0.0, text)


def printable(text: str, encoding: str) -> str:
    """Replace the characters of labels that an encoding does not have."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "".join(ASCII.get(letter, letter) for letter in text)
    return text
