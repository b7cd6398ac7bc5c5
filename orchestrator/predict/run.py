"""Predict images by exported models: check everything, predict what is missing, write one file."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import count, duration
from orchestrator.cluster.address import cluster_address
from orchestrator.encoding_models.config import find_models
from orchestrator.encoding_models.shared_backbone import by_backbone
from orchestrator.encoding_models.trust import require_trust
from orchestrator.predict.job import Job
from orchestrator.predict.outputs import Contents, check_output, check_size, write_output
from orchestrator.predict.parts import Parts, make_plan
from orchestrator.predict.passes import LocalPass, Pass
from orchestrator.predict.sources import open_source
from trainables.storage.atomic import write_text

WORTH_RAY: Final = 2000
"""Images from which on a Ray is started: for fewer, starting it takes longer than it saves."""


@dataclass(frozen=True)
class PredictSettings:
    """The settings of one prediction."""

    models: Path
    images: Path
    out: Path
    local: bool = False
    """Whether to predict in this process, without Ray."""
    gpus: int | None = None
    """GPUs that predict; None: all; 0: CPUs instead."""
    trust_code: bool = False
    """Whether the code of backbones from users' files is run."""

    def check(self) -> None:
        """Raise InputError for options that contradict each other."""
        if self.local and (self.gpus or 0) > 1:
            raise InputError(
                f"--gpus {self.gpus}: with --local, one process predicts on one device; leave one "
                "of them out"
            )


def predict(settings: PredictSettings, console: Console) -> dict[int, str]:
    """Predict all images by all models; return a line for each row that can't be read.

    Raises InputError (or ValueError) for invalid input. The output is written as a whole or not at
    all; parts of it that were computed are kept for the same command.
    """
    settings.check()
    check_output(settings.out)
    models = find_models(settings.models, trust_code=settings.trust_code)
    require_trust(models)
    source = open_source(settings.images)
    for resizing in {model.config.preprocessing.resizing for model in models}:
        source.check_size(resizing)
    check_size(settings.out, len(source.names), models)
    for note in source.notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    started = time.monotonic()
    plan = make_plan(models, source.content, len(source.names))
    job = Job(source, by_backbone(models), Parts.of(settings.out, plan))
    n_missing = job.n_missing
    if n_missing:
        job.run(choose_pass(settings, n_missing))
    write_output(settings.out, Contents(source.names, models, lambda: job.read(models)))
    problems = job.problems()
    _list_unreadable(settings.out, problems)
    job.parts.remove()
    line = (
        f"{settings.out}: {count(len(source.names), 'image')} by {count(len(models), 'model')}, of "
        f"which {n_missing:,} now, in {duration(time.monotonic() - started)}"
    )
    simulated = any(model.config.is_simulated for model in models)
    line += " (simulated data)" if simulated else ""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
    return problems


def choose_pass(settings: PredictSettings, n_images: int) -> Pass:
    """Choose where to predict so many images.

    On Ray, unless it is not wanted, or there is no cluster and they are few. Raises InputError for
    GPUs that are not there.
    """
    is_small = not cluster_address() and n_images < WORTH_RAY and (settings.gpus or 0) <= 1
    if not (settings.local or is_small):
        from orchestrator.predict.ray_pass import RayPass  # Ray takes seconds to import

        return RayPass.connect(settings.gpus)
    has_gpu = torch.cuda.is_available()
    if settings.gpus and not has_gpu:
        raise InputError(
            f"--gpus {settings.gpus}: torch finds no GPU on this machine; leave --gpus out"
        )
    return LocalPass(torch.device("cuda" if has_gpu and settings.gpus != 0 else "cpu"))


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
