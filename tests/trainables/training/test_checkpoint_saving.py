"""When checkpoints are saved, and how: seldom, beside the training, each file hashed once."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.builders.pretended_cuda import CUDA, pretended_cuda
from tests.builders.tiny_checkpoints import CPU, Training, names, report
from trainables.results.epoch_report import EpochReport
from trainables.storage import tensor_files
from trainables.storage.background import Background
from trainables.storage.stored_directory import StoredDirectory
from trainables.training import checkpoints as checkpoints_module
from trainables.training.checkpoint_notes import BEST, LAST
from trainables.training.checkpoints import Checkpoints


def after_epochs(
    checkpoints: Checkpoints,
    tops: list[float] | list[None],
    seen: Callable[[int], None],
    device: torch.device = CPU,
) -> None:
    """Have a training of an epoch for each top1, whose weight is the epoch's number."""
    model = torch.nn.Linear(2, 2).to(device)
    optimizer = torch.optim.Adam(model.parameters())
    history: tuple[EpochReport, ...] = ()
    for epoch, top1 in enumerate(tops, start=1):
        with torch.no_grad():
            model.weight.fill_(epoch)
        history = (*history, report(epoch, top1, 1.0))
        checkpoints.after_epoch(history, model, optimizer, is_last=epoch == len(tops))
        with torch.no_grad():
            model.weight.fill_(-1)  # the next epoch has begun
        seen(epoch)


def weight_of(directory: Path, note: str) -> float:
    """Return the weight of a note's checkpoint, which is the number of its epoch."""
    name = json.loads((directory / note).read_text())["model"]
    return load_file(directory / name)["weight"].unique().item()


def test_the_first_save_is_after_a_minute_and_the_last_without_the_optimiser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("trainables.training.checkpoints.time.monotonic", lambda: now)
    saved = []

    def seen(epoch: int) -> None:
        nonlocal now
        path = tmp_path / LAST
        saved.append(json.loads(path.read_text())["epoch"] if path.exists() else 0)
        now += 25.0

    after_epochs(Checkpoints(StoredDirectory(tmp_path)), [0.1, 0.9, 0.3, 0.2, 0.1, 0.4, 0.5], seen)
    assert saved == [0, 0, 0, 4, 4, 4, 7]  # at 0, 25, 50 and 75 s; 60 s later was the end
    assert (weight_of(tmp_path, LAST), weight_of(tmp_path, BEST)) == (7.0, 2.0)
    assert names(tmp_path) == {LAST, BEST, "epoch-0007.safetensors", "epoch-0002.safetensors"}
    assert Checkpoints(StoredDirectory(tmp_path)).load(CPU).optimizer is None


@pytest.mark.parametrize(("tops", "n_states"), [([None] * 5, 1), ([0.1, 0.2, 0.3, 0.2, 0.1], 4)])
def test_only_measured_epochs_are_held_as_the_best_until_they_are_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tops: list[float] | list[None], n_states: int
) -> None:
    states = []
    weights_of = checkpoints_module.weights_of

    def count(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        states.append(model)
        return weights_of(model)

    monkeypatch.setattr(checkpoints_module, "weights_of", count)
    after_epochs(Checkpoints(StoredDirectory(tmp_path)), tops, lambda epoch: None)
    assert len(states) == n_states  # with the last epoch's
    best = 5.0 if tops[0] is None else 3.0
    assert (weight_of(tmp_path, LAST), weight_of(tmp_path, BEST)) == (5.0, best)


def test_saving_takes_a_small_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(0, 10**6, 10))  # each look at the clock takes 10 s, each save 10
    monkeypatch.setattr("trainables.training.checkpoints.time.monotonic", lambda: next(times))
    saved = []
    monkeypatch.setattr(Checkpoints, "_remove_superseded", lambda self: saved.append(self))
    after_epochs(Checkpoints(StoredDirectory(tmp_path)), [0.5] * 60, lambda epoch: None)
    assert len(saved) == 1 + 2 + 1  # after 60 s, then each 200, and the last


def test_a_checkpoint_is_written_beside_the_training_from_a_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.training.checkpoints.SAVING_INTERVAL", 0.0)
    go_on, background, states = threading.Event(), Background(), []
    write = checkpoints_module.write_tensors

    def slow(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        assert go_on.wait(20)
        write(path, tensors)

    def seen(epoch: int) -> None:
        states.append((background.is_busy, (tmp_path / LAST).exists()))
        if epoch == 2:
            go_on.set()

    monkeypatch.setattr(checkpoints_module, "write_tensors", slow)
    checkpoints = Checkpoints(StoredDirectory(tmp_path), background=background)
    after_epochs(checkpoints, [0.9, 0.1, 0.2], seen)
    background.wait()
    assert states[:2] == [(True, False), (True, False)]
    assert (weight_of(tmp_path, LAST), weight_of(tmp_path, BEST)) == (3.0, 1.0)


@pytest.mark.parametrize(
    ("module", "function", "background"),
    [(checkpoints_module, "write_tensors", Background()), (tensor_files, "save_file", None)],
)
def test_what_is_saved_of_a_training_on_a_gpu_is_copied_to_the_host_first(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    function: str,
    background: Background | None,
) -> None:
    places: list[bool] = []
    write = getattr(module, function)

    def note(*args: Any, **options: Any) -> None:
        places.extend(v.is_cuda for one in args if isinstance(one, dict) for v in one.values())
        write(*args, **options)

    monkeypatch.setattr(module, function, note)
    checkpoints = Checkpoints(StoredDirectory(tmp_path), background=background)
    with pretended_cuda():
        after_epochs(checkpoints, [0.9, 0.1, 0.2], lambda epoch: None, CUDA)
        if background is not None:
            background.wait()
    assert places == [False] * 4  # two tensors of the best epoch, and of the last one
    assert (weight_of(tmp_path, LAST), weight_of(tmp_path, BEST)) == (3.0, 1.0)


def test_a_write_in_the_background_that_fails_is_an_error_of_its_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
        raise OSError("no space")

    monkeypatch.setattr(checkpoints_module, "write_tensors", fail)
    background = Background()
    checkpoints = Checkpoints(StoredDirectory(tmp_path), background=background)
    after_epochs(checkpoints, [0.5], lambda epoch: None)
    with pytest.raises(OSError, match="no space"):
        background.wait()
    background.wait()  # raised once


def test_a_file_of_a_checkpoint_is_hashed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    hash_file = checkpoints_module.hash_file

    def note(path: Path) -> str:
        hashed.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(checkpoints_module, "hash_file", note)
    Training(tmp_path).epoch()  # the last epoch, and the best
    assert hashed == ["epoch-0001.safetensors", "epoch-0001.adam.safetensors"]
