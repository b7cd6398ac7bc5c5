"""Export the models of a sweep: choose, fit, compare with the scores, write, and list them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from orchestrator.cli.errors import InputError
from orchestrator.cli.text import as_r, count
from orchestrator.cli.trust import require_consent
from orchestrator.encoding_models.config import (
    CONFIG,
    Fit,
    ModelConfig,
    ModelDirectory,
    model_name,
)
from orchestrator.export.choice import Asked, Chosen, by_work, choose
from orchestrator.export.ranking import BY_TEST, BY_VALIDATION
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import CLEAN
from trainables.spec.evaluation import training_of
from trainables.storage.temporary_files import remove_abandoned

MEGABYTE = 1e6


@dataclass(frozen=True)
class ExportSettings:
    """The settings of one export."""

    runs: RunDirectory
    data: DataDirectory
    out: Path
    asked: Asked
    fit: Fit
    half: bool
    weights: Path | None
    trust_code: bool = False
    """Whether to run code of users' files that the run directory holds."""


def export(settings: ExportSettings, console: Console) -> list[Path]:
    """Export models that are not there yet; return the directories of all that were chosen.

    Raises InputError (or ValueError) for invalid input; a model is written completely or not at
    all.
    """
    chosen = choose(settings.runs, settings.asked)
    names = [model_name(one.work_item, one.roi) for one in chosen]
    missing = [
        one for one, name in zip(chosen, names, strict=True) if not _is_there(settings, one, name)
    ]
    if settings.out.is_dir():
        remove_abandoned(settings.out, below=False)
    if len(missing) < len(chosen):
        console.print(f"already there: {count(len(chosen) - len(missing), 'model')}")
    _require_consent(settings, missing)
    _write(settings, missing, console)
    paths = [settings.out / name for name in names]
    if note := _choice_note(chosen):
        console.print(note, highlight=False)
    console.print(f"{settings.out}: {count(len(paths), 'model')}, {_megabytes(paths)}")
    return paths


def _require_consent(settings: ExportSettings, chosen: Sequence[Chosen]) -> None:
    backbones = [training_of(one.work_item).backbone for one in chosen]
    require_consent(backbones, settings.runs, trust_code=settings.trust_code)


def _choice_note(chosen: Sequence[Chosen]) -> str:
    """Say by which scores the models were chosen among several; nothing where none was."""
    counts = Counter(one.chosen_by for one in chosen if one.n_candidates > 1)
    parts = [f"{counts[BY_VALIDATION]} by validation"] if counts[BY_VALIDATION] else []
    if counts[BY_TEST]:
        parts.append(
            f"{counts[BY_TEST]} by r on the test images, which is then slightly optimistic: their "
            f"candidates do not all have scores of the protocol {CLEAN}, of images that no "
            "backbone was tuned on"
        )
    return f"best of several: {'; '.join(parts)}" if parts else ""


def export_backbones(settings: ExportSettings, console: Console) -> None:
    """Export the backbones of the chosen models as plug-ins of Brain-Score.

    Raises InputError (or ValueError) for invalid input; a plug-in is written completely or not at
    all.
    """
    if settings.half or settings.fit == "all":
        raise InputError(
            "--format brainscore: a plug-in has no readout, which Brain-Score fits itself; remove "
            "--half and --fit"
        )
    chosen = choose(settings.runs, settings.asked)
    _require_consent(settings, chosen)

    import torch

    from orchestrator.export.brainscore import export_plugins
    from orchestrator.export.refit import Sources, check_weights

    check_weights(chosen, settings.weights)
    if settings.out.is_dir():
        remove_abandoned(settings.out, below=False)
    cpu = torch.device("cpu")
    sources = Sources(settings.runs, settings.data, settings.weights, cpu, settings.out)
    export_plugins(sources, chosen, settings.out, console)


def _is_there(settings: ExportSettings, chosen: Chosen, name: str) -> bool:
    """Return whether a model is there; raise InputError if it was exported in another way."""
    path = settings.out / name
    if not (path / CONFIG).is_file():
        if path.exists():
            raise InputError(f"{path}: expected an encoding model; move it, or give another --out")
        return False
    config = ModelConfig.read(path)
    found = (config.fit, config.score.protocol, config.weights.half_change is not None)
    if found != (settings.fit, chosen.protocol, settings.half):
        raise InputError(
            f"{path}: there already, exported with --fit {config.fit} --protocol "
            f"{config.score.protocol}{' --half' if found[2] else ''}; remove it, or give another "
            "--out"
        )
    return True


def _write(settings: ExportSettings, chosen: Sequence[Chosen], console: Console) -> None:
    if not chosen:
        return
    import torch

    from orchestrator.export.refit import Refitter, Sources, check_weights
    from orchestrator.export.write import ModelWriter, temporary_directory

    check_weights(chosen, settings.weights)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    writer = ModelWriter(settings.out, settings.data, settings.fit, half=settings.half)
    with temporary_directory(settings.out, "scratch") as scratch:
        sources = Sources(settings.runs, settings.data, settings.weights, device, scratch)
        refitter = Refitter(sources)
        for group in by_work(chosen):
            work = refitter.fit(group, settings.fit)
            by_roi = {model.chosen.roi.id: model for model in work.models}
            for config in writer.write(work):
                model = ModelDirectory(settings.out / config.name, config)
                line = _line(model, by_roi[config.roi.id].difference, asked_half=settings.half)
                console.print(line, highlight=False, markup=False, soft_wrap=True)


def _line(model: ModelDirectory, difference: float, *, asked_half: bool) -> str:
    """Describe a written model in a line."""
    score, weights = model.config.score, model.config.weights
    interval = "" if score.low is None else f" [{score.low:.3f}, {score.high:.3f}]"
    line = (
        f"{model.config.name}: layer {model.config.layer}, r {as_r(score.r_mean)}{interval}, as in "
        f"the sweep to {difference:.0e}; {_megabytes([model.path])}"
    )
    if asked_half:
        kept = "half precision" if weights.half else "single precision, as half"
        line += f"; {kept} changes r by {weights.half_change:.0e}"
    return line + (" (simulated data)" if model.config.is_simulated else "")


def _megabytes(models: Sequence[Path]) -> str:
    """Format the size of models on disk, in which a shared file counts once."""
    files = [file.stat() for path in models for file in path.iterdir()]
    total = sum(file.st_size for file in files)
    on_disk = sum({(file.st_dev, file.st_ino): file.st_size for file in files}.values())
    shared = f" ({total / MEGABYTE:,.1f} MB without shared files)" if on_disk < total else ""
    return f"{on_disk / MEGABYTE:,.1f} MB{shared}"
