"""A training's checkpoints: safetensors files, and two JSON notes that refer to them.

``last.json`` and ``best.json`` each name a state file, and are written atomically after it. A
process killed at any moment therefore leaves the previous checkpoint intact. Files that neither
note names are removed, unless every epoch is kept.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from trainables.exceptions import Denied
from trainables.models import backbones
from trainables.models.weights import check_fit
from trainables.results.epoch_report import EpochReport
from trainables.spec import Backbone
from trainables.storage.atomic import hash_file, hash_files, write_text
from trainables.storage.stored_directory import StoredDirectory
from trainables.storage.tensor_files import write_tensors
from trainables.training.checkpoint_notes import BEST, LAST, Note
from trainables.training.saved_state import BACKBONE_PREFIX, progress_of, restore, weights_of

SAVING_SHARE: Final = 0.05
"""Largest share of a training's time to spend on saving: AlexNet and Adam's state are 0.7 GB."""


@dataclass(frozen=True)
class Resumed:
    """The state of a training at its last checkpoint."""

    history: tuple[EpochReport, ...]
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor] | None
    """With the matrices of adapters; None when the training is complete."""


class Checkpoints:
    """Writes and loads the checkpoints of one training, in a separate directory."""

    def __init__(self, directory: StoredDirectory, *, keep_every_epoch: bool = False) -> None:
        self._stored = directory
        self._directory = directory.path
        self._keep_every_epoch = keep_every_epoch
        self._saved_at: float | None = None
        self._save_seconds = 0.0
        self._unsaved_best: tuple[tuple[EpochReport, ...], dict[str, Tensor]] | None = None

    def load(self, device: torch.device) -> Resumed | None:
        """Load the last checkpoint; return None if there is none, or if it is damaged.

        Raises Denied if this user may not read it: it is not trained again.
        """
        self._stored.fetch_all()
        try:
            note = Note.read(self._directory / LAST)
            Note.read(self._directory / BEST)  # needed for saving further epochs
            model = _load(self._directory, note, note.model, device)
            name = note.optimizer
            optimizer = None if name is None else _load(self._directory, note, name, device)
        except PermissionError as error:
            raise Denied.of(self._directory, error) from error
        except (OSError, ValueError, SafetensorError):
            return None  # trained again from the start, with the same result
        return Resumed(note.history, model, optimizer)

    def resume(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, epochs: int
    ) -> tuple[tuple[EpochReport, ...], bool]:
        """Load the last checkpoint, if there is one, into a model and its optimiser.

        Returns the reports of its epochs, and whether it completes a training of ``epochs`` epochs.
        """
        resumed = self.load(next(model.parameters()).device)
        if resumed is None:
            return (), False
        is_complete = resumed.optimizer is None and resumed.history[-1].epoch >= epochs
        progress = None if is_complete else resumed.optimizer or {}
        restore(model, optimizer, resumed.model, progress)
        return resumed.history, is_complete

    def after_epoch(
        self,
        history: tuple[EpochReport, ...],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        final: bool,
    ) -> None:
        """Save the state after an epoch, unless saving would take too large a share of the time.

        The final epoch is always saved, and so is the best one, from memory if necessary.
        """
        best = history[-1].epoch == best_epoch(history)
        if not (final or self._is_due()):
            if best:
                state = {key: value.clone() for key, value in weights_of(model).items()}
                self._unsaved_best = (history, state)
            return
        start = time.monotonic()
        if self._unsaved_best is not None and not best:
            earlier, state = self._unsaved_best
            name = f"epoch-{earlier[-1].epoch:04d}.safetensors"
            self._note(BEST, earlier, self._write(name, state), None)
        self._unsaved_best = None
        self.save(history, model, optimizer)
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def _is_due(self) -> bool:
        if self._keep_every_epoch or self._saved_at is None:
            return True
        return time.monotonic() - self._saved_at >= self._save_seconds / SAVING_SHARE

    def save(
        self, history: tuple[EpochReport, ...], model: nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        """Write the state after an epoch as ``last``, and as ``best`` if it is the best so far."""
        epoch = history[-1].epoch
        model_file = self._write(f"epoch-{epoch:04d}.safetensors", weights_of(model))
        state = self._write(f"epoch-{epoch:04d}.adam.safetensors", progress_of(model, optimizer))
        # ``best`` before ``last``: a training killed in between repeats the same epoch.
        if epoch == best_epoch(history):
            self._note(BEST, history, model_file, None)
        self._note(LAST, history, model_file, state)
        self._remove_superseded()

    def finish(self, history: tuple[EpochReport, ...]) -> None:
        """Mark the training as complete, and remove the optimiser's state."""
        self._note(LAST, history, Note.read(self._directory / LAST).model, None)
        self._remove_superseded()

    def _write(self, name: str, tensors: Mapping[str, Tensor]) -> str:
        write_tensors(self._directory / name, tensors)
        return name

    def _note(
        self, name: str, history: tuple[EpochReport, ...], model: str, optimizer: str | None
    ) -> None:
        hashes = hash_files(self._directory / one for one in (model, optimizer) if one)
        note = Note(history[-1].epoch, model, optimizer, hashes, history)
        write_text(self._directory / name, json.dumps(asdict(note), indent=1) + "\n")

    def _remove_superseded(self) -> None:
        paths = [self._directory / name for name in (LAST, BEST)]
        notes = [Note.read(path) for path in paths if path.exists()]
        kept = {name for note in notes for name in (note.model, note.optimizer)}
        pattern = "epoch-*.adam.safetensors" if self._keep_every_epoch else "epoch-*.safetensors"
        for path in [*self._directory.glob(pattern), *self._directory.glob(".*")]:
            if path.name not in kept:
                self._stored.remove(path)


def _load(directory: Path, note: Note, name: str, device: torch.device) -> dict[str, Tensor]:
    """Load one of a checkpoint's files; raise ValueError if its content was changed."""
    path = directory / name
    if hash_file(path) != note.sha256.get(name):
        raise ValueError(f"{path}: its content differs from what was saved")
    return load_file(path, device=str(device))


def load_backbone(directory: StoredDirectory) -> dict[str, Tensor]:
    """Load the weights of a fully trained backbone, on the CPU.

    Raises ValueError naming the checkpoint and the cure if it is missing or damaged.
    """
    note_file = directory.path / LAST
    directory.fetch_all()
    try:
        note = Note.read(note_file)
        state = _load(directory.path, note, note.model, torch.device("cpu"))
    except PermissionError as error:
        raise Denied.of(directory.path, error) from error
    except (OSError, ValueError, SafetensorError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ValueError(f"{note_file}: no usable checkpoint ({found}); {_CURE}") from error
    if note.optimizer is not None:
        raise ValueError(f"{note_file}: its training is not complete; {_CURE}")
    backbone = {
        name.removeprefix(BACKBONE_PREFIX): value
        for name, value in state.items()
        if name.startswith(BACKBONE_PREFIX)
    }
    if not backbone:
        raise ValueError(f"{directory.path / note.model}: holds no weights of a backbone; {_CURE}")
    return backbone


def load_network(directory: StoredDirectory, backbone: Backbone) -> nn.Module:
    """Build a backbone with the weights of a completed training, on the CPU.

    Raises ValueError naming the checkpoint if it is missing, damaged, or of another backbone.
    """
    state, network = load_backbone(directory), backbones.build_scaled(backbone)
    check_fit(state, network, f"{directory}: its backbone does not fit {backbone.architecture}")
    network.load_state_dict(state)
    return network


_CURE: Final = "remove the scores of its trials and run the sweep again, which repeats the training"


def best_epoch(history: tuple[EpochReport, ...]) -> int:
    """Return the epoch with the best retrieval, or the last one if none was measured."""
    measured = [report for report in history if report.retrieval_top1 is not None]
    if not measured:
        return history[-1].epoch
    return max(measured, key=_quality).epoch


def _quality(report: EpochReport) -> tuple[float, float]:
    return (report.retrieval_top1 or 0.0, -(report.retrieval_median_rank or 0.0))
