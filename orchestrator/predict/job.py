"""Predict the parts that are missing, and read those that are there."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from orchestrator.cli.text import count
from orchestrator.encoding_models.config import TENSOR_FILES, ModelDirectory
from orchestrator.ingest.progress import bar, progress_bars
from orchestrator.predict.image_batches import ImageSource
from orchestrator.predict.outputs import PredictedPart
from orchestrator.predict.parts import Parts, Predicted
from orchestrator.predict.passes import Group, Pass, PredictedBatch, resizing_of
from trainables.worker.score_subject import FEATURE_BATCH

SHARE_FOR_MODELS: Final = 0.4
"""Share of the device's free memory for backbones that pass over the images together."""


@dataclass(frozen=True)
class Job:
    """Images, the models that predict them, grouped by backbone, and the parts of the output."""

    source: ImageSource
    groups: Sequence[Group]
    parts: Parts

    @property
    def n_missing(self) -> int:
        """Count the images that a backbone has not predicted yet."""
        return self._count(self._missing(range(len(self.groups))))

    def run(self, passes: Pass) -> None:
        """Predict the parts that are missing.

        A part is written once all its batches are there. Models are loaded, and so checked, before
        anything is written.
        """
        for numbers in self._together(passes):
            missing = self._missing(numbers)
            if not missing:
                continue
            step = FEATURE_BATCH[passes.device_type]
            rows = [few for k in missing for few in _split(self.parts.rows[k], step)]
            title = f"{count(len(numbers), 'backbone')} on {passes.describe()}"
            batches = passes.run([self.groups[g] for g in numbers], self.source, rows)
            first = next(batches)  # whatever is wrong with the models is known now
            self.parts.begin()
            with (
                progress_bars() as progress,
                bar(progress, title, self._count(missing)) as advance,
            ):
                self._write_parts(numbers, itertools.chain([first], batches), advance)

    def _missing(self, numbers: Sequence[int]) -> list[int]:
        """List the parts that some of these backbones have not predicted yet."""
        parts = range(len(self.parts.rows))
        return [k for k in parts if not all(self.parts.has(g, k) for g in numbers)]

    def _count(self, parts: Sequence[int]) -> int:
        return sum(len(self.parts.rows[k]) for k in parts)

    def _together(self, passes: Pass) -> list[list[int]]:
        """Group the backbones that fit the device together and take images of one size."""
        if len(self.groups) == 1:
            return [[0]]
        budget = SHARE_FOR_MODELS * passes.free_bytes()
        rounds: list[list[int]] = []
        used = 0.0
        for number, group in enumerate(self.groups):
            resizing = resizing_of(group)
            fits = used + _bytes(group) <= budget
            if rounds and fits and resizing_of(self.groups[rounds[-1][0]]) == resizing:
                rounds[-1].append(number)
                used += _bytes(group)
            else:
                rounds.append([number])
                used = _bytes(group)
        return rounds

    def _write_parts(
        self,
        numbers: Sequence[int],
        batches: Iterator[PredictedBatch],
        advance: Callable[[int], None],
    ) -> None:
        """Write each part once all its batches are there, which come in any order."""
        begun: dict[int, _BegunPart] = {}
        for batch in batches:
            k = batch.rows.start // self.parts.plan.rows_per_part
            part = begun.setdefault(k, _BegunPart())
            part.batches.append(batch)
            if part.n_rows == len(self.parts.rows[k]):
                for g, predicted in zip(numbers, part.predictions(), strict=True):
                    self.parts.write(g, k, predicted, part.problems())
                del begun[k]
            advance(len(batch.rows))

    def read(self, models: Sequence[ModelDirectory]) -> Iterator[PredictedPart]:
        """Read the predictions of all models, in their order, part by part."""
        places = {
            model.config.name: (g, i)
            for g, group in enumerate(self.groups)
            for i, model in enumerate(group)
        }
        for k, rows in enumerate(self.parts.rows):
            found = [self.parts.read(g, k)[0] for g in range(len(self.groups))]
            of_models = [places[model.config.name] for model in models]
            yield PredictedPart(rows, [found[g][i] for g, i in of_models])

    def problems(self) -> dict[int, str]:
        """Read which rows can't be read, and why."""
        found: dict[int, str] = {}
        for k in range(len(self.parts.rows)):
            found |= self.parts.read(0, k)[1]
        return found


@dataclass
class _BegunPart:
    """The batches of a part that are there."""

    batches: list[PredictedBatch] = field(default_factory=list)

    @property
    def n_rows(self) -> int:
        """Count the rows that are there."""
        return sum(len(batch.rows) for batch in self.batches)

    def predictions(self) -> list[list[Predicted]]:
        """Join the predictions of all rows, in order, by backbone and model."""
        by_backbone = zip(*(batch.predicted for batch in self._in_order()), strict=True)
        return [[np.concatenate(one) for one in zip(*each, strict=True)] for each in by_backbone]

    def problems(self) -> dict[int, str]:
        """Join the problems, in the order of the rows."""
        return {k: text for batch in self._in_order() for k, text in batch.problems.items()}

    def _in_order(self) -> list[PredictedBatch]:
        return sorted(self.batches, key=lambda batch: batch.rows.start)


def _bytes(group: Group) -> int:
    """Estimate the memory of a group: its distinct files, in single precision."""
    files = {
        config.weights.sha256[name]: (path / name).stat().st_size
        * (2 if config.weights.half else 1)
        for path, config in ((model.path, model.config) for model in group)
        for name in TENSOR_FILES
    }
    return sum(files.values())


def _split(rows: range, step: int) -> list[range]:
    return [range(k, min(k + step, rows.stop)) for k in range(rows.start, rows.stop, step)]
