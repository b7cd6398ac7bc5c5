"""Selection by setting: ``--where temperature=0.1`` and the two sides of ``--compare``."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from orchestrator.cli.errors import InputError
from orchestrator.scores.references import UNTUNED, references, works_of
from orchestrator.scores.rows import method_order
from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.segments import seed_of
from trainables.spec.evaluation import WorkItem, training_of
from trainables.spec.labels import format_values, method_of, natural
from trainables.spec.setting import Value, setting_of
from trainables.wording import meant, some

SEED: Final = "seed"
SUBJECTS: Final = "subjects"
"""The subjects of a pooled model's training, ``1+2+5``."""
_APART: Final = re.compile(r"[, ]+(?=\w+=)")
"""What separates a method and its values, and each value from the next."""


@dataclass(frozen=True)
class Condition:
    """A value that a setting must have."""

    name: str
    value: str

    @classmethod
    def parse(cls, text: str, flag: str) -> Self:
        """Read ``name=value``; raise InputError for another text."""
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise InputError(f"{flag} {text}: expected name=value, such as temperature=0.1")
        return cls(name, value)

    def check(self, work_items: Iterable[WorkItem], flag: str) -> None:
        """Raise InputError, with what was probably meant, if no work item has the value."""
        present = [values_of(one) for one in work_items]
        names = list(dict.fromkeys(name for values in present for name in values))
        if self.name not in names:
            raise InputError(
                f"{flag} {self.name}={self.value}: no setting has a {self.name}; there are "
                f"{', '.join(names)}{meant(self.name, names)}"
            )
        values = dict.fromkeys(values[self.name] for values in present if self.name in values)
        if not any(self._names(one) for one in values):
            shown = values if self.name == SUBJECTS else format_values(values).values()
            texts = sorted(map(str, shown), key=natural)
            raise InputError(
                f"{flag} {self.name}={self.value}: no trial has it; there are {some(texts)}"
                f"{meant(self.value, texts)}"
            )

    def holds(self, work_item: WorkItem) -> bool | None:
        """Return whether a work item has the value; None where it has no value of that name."""
        values = values_of(work_item)
        return self._names(values[self.name]) if self.name in values else None

    def _names(self, value: Value) -> bool:
        """Return whether this names a value; of subjects their numbers suffice, in any order."""
        if self.name == SUBJECTS:
            return _numbers(str(value)) == _numbers(self.value)
        return is_value(value, self.value)


def _numbers(subjects: str) -> list[int]:
    """Return the numbers in ``subj01+subj02`` or ``1+2``, sorted."""
    return sorted(map(int, re.findall(r"\d+", subjects)))


def values_of(work_item: WorkItem) -> Mapping[str, Value]:
    """Return the values of a setting by name, a fine-tuned model's seed, and a pool's subjects."""
    seed = seed_of(work_item)
    subjects = dict.fromkeys(roi.subject for roi in training_of(work_item).rois)
    values: dict[str, Value] = dict(setting_of(work_item).values)
    if seed is not None:
        values[SEED] = int(seed)
    if len(subjects) > 1:
        values[SUBJECTS] = "+".join(subjects)
    return values


def is_value(value: Value, text: str) -> bool:
    """Return whether a text names a value: a number of the same size, or as labels have it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(text) == value or format_values([value])[value] == text
        except ValueError:
            return False
    plain = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text in (plain, plain.lower(), format_values([value])[value])


def keep_where(table: ScoreTable, texts: Sequence[str]) -> ScoreTable:
    """Keep the trials whose settings have all given values, each ``name=value``.

    Trials of methods without such a value, as untuned has no temperature, are kept. Of one name,
    one of the given values suffices. Raises InputError for a name or a value that no trial has.
    """
    by_name: dict[str, list[Condition]] = {}
    scored = {key: table.trials[key] for key in map(str, table.segments["trial_id"].unique())}
    for text in texts:
        condition = Condition.parse(text, "--where")
        condition.check(scored.values(), "--where")
        by_name.setdefault(condition.name, []).append(condition)
    kept = {
        key
        for key, one in scored.items()
        if all(any(c.holds(one) is not False for c in each) for each in by_name.values())
    }
    if not kept:
        raise InputError(f"--where {' '.join(texts)}: no trial has all of them")
    return table.keep("trial_id", kept)


def pairs_to_compare(table: ScoreTable, sides: Sequence[str]) -> list[tuple[str, str]]:
    """Resolve the two sides of ``--compare`` to pairs of labels.

    A side is a method, ``name=value[,name=value]``, or both. Against untuned, each setting is
    compared with the untuned scores of its backbone and encoding; otherwise each side must be one
    setting of a method. Raises InputError for a side that is none, or several.
    """
    first, second = (_labels(table, side) for side in sides)
    found = references(table)
    if {method_of(one) for one in second} == {UNTUNED}:
        return _checked([(a, b) for a in first for b in found.get(a, ()) if b in second], sides)
    if {method_of(one) for one in first} == {UNTUNED}:
        return _checked([(b, a) for a in second for b in found.get(a, ()) if b in first], sides)
    a, b = _by_method(first), _by_method(second)
    shared = [method for method in a if method in b]
    if shared:
        return _checked([(_one(a[m], sides[0]), _one(b[m], sides[1])) for m in shared], sides)
    return _checked([(_one(first, sides[0]), _one(second, sides[1]))], sides)


def _labels(table: ScoreTable, side: str) -> list[str]:
    """List the labels that a side of ``--compare`` names; raise InputError if there is none."""
    works = works_of(table)
    head, *rest = _APART.split(side.strip())
    methods = method_order(method_of(label) for label in works)
    method = "" if "=" in head else head
    if method and method not in methods:
        raise InputError(
            f"--compare: no scores of {method}; there are {', '.join(methods)}"
            f"{meant(method, methods)}"
        )
    conditions = [Condition.parse(text, "--compare") for text in ([] if method else [head]) + rest]
    of_method = {k: one for k, one in works.items() if not method or method_of(k) == method}
    for one in conditions:
        if one.name == SEED:
            raise InputError("--compare: seeds are averaged; give --where seed=N to use one")
        one.check(of_method.values(), "--compare")
    labels = [k for k, one in of_method.items() if all(c.holds(one) for c in conditions)]
    if not labels:
        raise InputError(f"--compare {side}: no setting has all of these values")
    return method_order(labels)


def _by_method(labels: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for label in labels:
        found.setdefault(method_of(label), []).append(label)
    return found


def _one(labels: Sequence[str], side: str) -> str:
    """Return the only label; raise InputError that lists them if there are several."""
    if len(labels) > 1:
        raise InputError(
            f"--compare {side}: expected one setting, found {len(labels)}: {some(labels, '; ')}; "
            "give its values too, as in 'contrastive,temperature=0.1'"
        )
    return labels[0]


def _checked(pairs: list[tuple[str, str]], sides: Sequence[str]) -> list[tuple[str, str]]:
    """Raise InputError if no pair is left, or one is of a setting with itself."""
    what = " ".join(sides)
    if not pairs:
        raise InputError(f"--compare {what}: no untuned scores of the same backbone and encoding")
    same = [a for a, b in pairs if a == b]
    if same:
        raise InputError(f"--compare {what}: both sides are {same[0]}; expected two different ones")
    return pairs
