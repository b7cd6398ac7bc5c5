"""Predict images part by part, each backbone once for all its models, then write one file."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from rich.console import Console

from orchestrator.cli.text import count, duration
from orchestrator.encoding_models.config import TENSOR_FILES, ModelDirectory, find_models
from orchestrator.encoding_models.shared_backbone import SharedBackbone, by_backbone
from orchestrator.ingest.progress import bar, progress_bars
from orchestrator.predict.outputs import (
    Contents,
    PredictedPart,
    check_output,
    check_size,
    write_output,
)
from orchestrator.predict.parts import Parts, Predicted, make_plan
from orchestrator.predict.sources import ImageBatch, ImageSource, open_source
from trainables.compute.device import free_bytes
from trainables.storage.atomic import write_text
from trainables.worker.score_subject import FEATURE_BATCH

SHARE_FOR_MODELS: Final = 0.4
"""Share of the device's free memory for backbones that pass over the images together."""

Group = list[ModelDirectory]


@dataclass(frozen=True)
class PredictSettings:
    """The settings of one prediction."""

    models: Path
    images: Path
    out: Path


def predict(settings: PredictSettings, console: Console) -> dict[int, str]:
    """Predict all images by all models; return a line for each row that can't be read.

    Raises InputError (or ValueError) for invalid input. The output is written as a whole or not at
    all; parts of it that were computed are kept for the same command.
    """
    check_output(settings.out)
    models = find_models(settings.models)
    source = open_source(settings.images, settings.out.parent)
    for size in {model.config.preprocessing.image_size for model in models}:
        source.check_size(size)
    check_size(settings.out, len(source.names), models)
    for note in source.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    started = time.monotonic()
    plan = make_plan(models, source.content, len(source.names))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    job = _Job(source, by_backbone(models), Parts.of(settings.out, plan), device)
    n_predicted = job.run()
    write_output(settings.out, Contents(source.names, models, lambda: job.read(models)))
    problems = job.problems()
    _list_unreadable(settings.out, problems)
    job.parts.remove()
    line = (
        f"{settings.out}: {count(len(source.names), 'image')} by {count(len(models), 'model')}, of "
        f"which {n_predicted:,} now, in {duration(time.monotonic() - started)}"
    )
    simulated = any(model.config.is_simulated for model in models)
    line += " (simulated data)" if simulated else ""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    return problems


def _list_unreadable(out: Path, problems: Mapping[int, str]) -> None:
    """Write the list of the images that can't be read, or remove an old one."""
    path = unreadable_file(out)
    if problems:
        write_text(path, "".join(f"{line}\n" for line in problems.values()))
    else:
        path.unlink(missing_ok=True)


def unreadable_file(out: Path) -> Path:
    """Name the file that lists the images that can't be read."""
    return out.with_name(f"{out.name}.unreadable.txt")


@dataclass(frozen=True)
class _Job:
    """Images, the models that predict them, grouped by backbone, and the parts of the output."""

    source: ImageSource
    groups: list[Group]
    parts: Parts
    device: torch.device

    def run(self) -> int:
        """Predict the parts that are missing; return how many images that were.

        Models are loaded, and so checked, before anything is written.
        """
        n_predicted = 0
        for numbers in self._together():
            missing = [
                k
                for k in range(len(self.parts.rows))
                if not all(self.parts.has(g, k) for g in numbers)
            ]
            if not missing:
                continue
            backbones = {g: SharedBackbone(self.groups[g], self.device) for g in numbers}
            self.parts.begin()
            n_images = sum(len(self.parts.rows[k]) for k in missing)
            title = count(len(numbers), "backbone")
            with progress_bars() as progress, bar(progress, title, n_images) as advance:
                self._pass(backbones, missing, advance)
            n_predicted = max(n_predicted, n_images)
        return n_predicted

    def _together(self) -> list[list[int]]:
        """Group the backbones that fit the device together and take images of one size."""
        budget = SHARE_FOR_MODELS * free_bytes(self.device)
        rounds: list[list[int]] = []
        used = 0.0
        for number, group in enumerate(self.groups):
            size = _image_size(group)
            fits = used + _bytes(group) <= budget
            if rounds and fits and _image_size(self.groups[rounds[-1][0]]) == size:
                rounds[-1].append(number)
                used += _bytes(group)
            else:
                rounds.append([number])
                used = _bytes(group)
        return rounds

    def _pass(
        self,
        backbones: Mapping[int, SharedBackbone],
        missing: Sequence[int],
        advance: Callable[[int], None],
    ) -> None:
        """Pass the images of the missing parts through some backbones, and write each part."""
        step = FEATURE_BATCH[self.device.type]
        batches = {k: _split(self.parts.rows[k], step) for k in missing}
        size = next(iter(backbones.values())).image_size
        images = self.source.batches([few for each in batches.values() for few in each], size)
        for k, few in batches.items():
            predicted: dict[int, list[list[Predicted]]] = {g: [] for g in backbones}
            problems: dict[int, str] = {}
            for batch in itertools.islice(images, len(few)):
                for g, backbone in backbones.items():
                    predicted[g].append(_without_unreadable(backbone, batch))
                problems |= batch.problems
                advance(len(batch.rows))
            for g, of_batches in predicted.items():
                whole = [np.concatenate(one) for one in zip(*of_batches, strict=True)]
                self.parts.write(g, k, whole, problems)

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


def _without_unreadable(backbone: SharedBackbone, batch: ImageBatch) -> list[Predicted]:
    """Predict a batch; NaN for images that can't be read."""
    predicted = backbone.predict(batch.pixels)
    for row in batch.problems:
        for one in predicted:
            one[row - batch.rows.start] = np.nan
    return predicted


def _image_size(group: Group) -> int:
    return group[0].config.preprocessing.image_size


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
