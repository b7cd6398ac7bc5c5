"""A training's checkpoints: safetensors files, and two JSON notes that refer to them.

``last.json`` and ``best.json`` each name a state file, and are written atomically after it. A
process killed at any moment therefore leaves the previous checkpoint intact. Files that neither
note names are removed, unless every epoch is kept.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
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
from trainables.storage.atomic import hash_file, write_text
from trainables.storage.background import Background
from trainables.storage.stored_directory import StoredDirectory
from trainables.storage.tensor_files import write_tensors
from trainables.storage.unchanged import hash_unchanged
from trainables.training.checkpoint_notes import BEST, LAST, Keep, Note
from trainables.training.saved_state import BACKBONE_PREFIX, progress_of, restore, weights_of

SAVING_INTERVAL: Final = 60.0
"""Seconds before the first save of a training, and between further ones, at least."""
SAVING_SHARE: Final = 0.05
"""Largest share of a training's time to spend on saving: AlexNet and Adam's state are 0.7 GB."""


@dataclass(frozen=True)
class _State:
    """What is saved of a training after an epoch."""

    history: tuple[EpochReport, ...]
    weights: dict[str, Tensor]
    progress: dict[str, Tensor] | None
    """The optimiser's state, and matrices of adapters; None when the training is complete."""

    @property
    def epoch(self) -> int:
        """Return the number of the last epoch."""
        return self.history[-1].epoch

    @property
    def is_best(self) -> bool:
        """Whether no epoch before was better."""
        return self.epoch == best_epoch(self.history)

    def copied(self, copy: Callable[[Tensor], Tensor]) -> "_State":
        """Return a state that further epochs do not change, of copies of the tensors."""
        weights = {name: copy(value) for name, value in self.weights.items()}
        progress = {name: copy(value) for name, value in (self.progress or {}).items()}
        return _State(self.history, weights, None if self.progress is None else progress)


def _on_host(value: Tensor) -> Tensor:
    """Copy for the thread that writes: on a GPU it would wait for training's queue each time."""
    return value.cpu() if value.is_cuda else value.clone()


@dataclass(frozen=True)
class Resumed:
    """The state of a training at its last checkpoint."""

    history: tuple[EpochReport, ...]
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor] | None
    """With the matrices of adapters; None when the training is complete."""


class Checkpoints:
    """Writes and loads the checkpoints of one training, in a separate directory.

    keep: which weights are kept; with ``none``, the last ones until the directory is removed.
    background: writes them beside the training, from copies; it is waited for by its owner. Without
    one, they are written at once.
    """

    def __init__(
        self,
        directory: StoredDirectory,
        *,
        keep: Keep = "best",
        background: Background | None = None,
    ) -> None:
        self._stored = directory
        self._directory = directory.path
        self._keep_every_epoch = keep == "every"
        self._keep_best = keep in ("every", "best")
        self._background = background
        self._saved_at = time.monotonic()
        self._save_seconds = 0.0
        self._unsaved_best: _State | None = None
        self._hashes: dict[str, str] = {}

    def load(self, device: torch.device) -> Resumed | None:
        """Load the last checkpoint; return None if there is none, or if it is damaged.

        Raises Denied if this user may not read it: it is not trained again.
        """
        if self._background is not None:
            self._background.wait()
        self._stored.fetch_all()
        try:
            note = Note.read(self._directory / LAST)
            best = self._directory / BEST
            if self._keep_best and (note.optimizer is not None or best.exists()):
                Note.read(best)  # needed for saving further epochs
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
        is_last: bool = False,
        is_stopped: bool = False,
    ) -> None:
        """Save the state after an epoch, unless that would take too large a share of the time.

        The state of the last epoch is always saved, without the optimiser's; so are the state of a
        stopped training and the best epoch's, from memory if necessary.
        """
        is_best = history[-1].epoch == best_epoch(history)
        is_measured = history[-1].retrieval_top1 is not None  # else the last epoch counts as best
        if not (is_last or is_stopped or self._is_due()):
            if is_best and is_measured and self._keep_best:
                self._unsaved_best = _State(history, weights_of(model), None).copied(Tensor.clone)
            return
        progress = None if is_last else progress_of(model, optimizer)
        state = _State(history, weights_of(model), progress)
        best, self._unsaved_best = None if is_best else self._unsaved_best, None
        if self._background is None:
            self._write(state, best)
        else:
            best = None if best is None else best.copied(_on_host)
            self._background.start(partial(self._write, state.copied(_on_host), best))

    def _is_due(self) -> bool:
        if self._keep_every_epoch:
            return True
        if self._background is not None and self._background.is_busy:
            return False
        interval = max(SAVING_INTERVAL, self._save_seconds / SAVING_SHARE)
        return time.monotonic() - self._saved_at >= interval

    def save(
        self,
        history: tuple[EpochReport, ...],
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None,
    ) -> None:
        """Write the state after an epoch as ``last``, and as ``best`` if it is the best so far.

        optimizer: None if the training is complete, which is then noted.
        """
        progress = None if optimizer is None else progress_of(model, optimizer)
        self._write(_State(history, weights_of(model), progress), None)

    def _write(self, state: _State, best: _State | None) -> None:
        """Write a state, and the best one if that is an earlier one which is not saved."""
        start = time.monotonic()
        if best is not None:
            self._note(BEST, best, self._write_tensors(best, "", best.weights), None)
        model = self._write_tensors(state, "", state.weights)
        optimizer = None
        if state.progress is not None:
            optimizer = self._write_tensors(state, ".adam", state.progress)
        # ``best`` before ``last``: a training killed in between repeats the same epoch.
        if state.is_best and self._keep_best:
            self._note(BEST, state, model, None)
        self._note(LAST, state, model, optimizer)
        self._remove_superseded()
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - start

    def _write_tensors(self, state: _State, kind: str, tensors: Mapping[str, Tensor]) -> str:
        name = f"epoch-{state.epoch:04d}{kind}.safetensors"
        write_tensors(self._directory / name, tensors)
        self._hashes[name] = hash_file(self._directory / name)
        return name

    def _note(self, name: str, state: _State, model: str, optimizer: str | None) -> None:
        hashes = {file: self._hashes[file] for file in sorted(filter(None, (model, optimizer)))}
        note = Note(state.epoch, model, optimizer, hashes, state.history)
        write_text(self._directory / name, json.dumps(asdict(note), indent=1) + "\n")

    def _remove_superseded(self) -> None:
        if not self._keep_best and (self._directory / BEST).exists():
            self._stored.remove(self._directory / BEST)
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
    if hash_unchanged(path) != note.sha256.get(name):
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
        name.removeprefix(BACKBONE_PREFIX): value.clone()  # from memory that maps the file
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
    state = load_backbone(directory)

    def fitted(network: nn.Module) -> dict[str, Tensor]:
        check_fit(state, network, f"{directory}: its backbone does not fit {backbone.architecture}")
        return state

    return backbones.with_weights(backbone, fitted)


_CURE: Final = (
    "remove the scores of its trials and run the sweep again, without --keep none, which repeats "
    "the training"
)


def best_epoch(history: tuple[EpochReport, ...]) -> int:
    """Return the epoch with the best retrieval, or the last one if none was measured."""
    measured = [report for report in history if report.retrieval_top1 is not None]
    if not measured:
        return history[-1].epoch
    return max(measured, key=_quality).epoch


def _quality(report: EpochReport) -> tuple[float, float]:
    return (report.retrieval_top1 or 0.0, -(report.retrieval_median_rank or 0.0))
