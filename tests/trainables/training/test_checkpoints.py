"""Checkpoints: saved, restored, kept, superseded and found damaged."""

import json
import os
import stat
from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.builders.file_systems import deny
from tests.builders.tiny_checkpoints import CPU, Training, names, report, same
from trainables.exceptions import Denied
from trainables.results.epoch_report import EpochReport
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoint_notes import BEST, LAST
from trainables.training.checkpoints import (
    Checkpoints,
    best_epoch,
    load_backbone,
)
from trainables.training.saved_state import flatten_optimizer, restore_optimizer


def test_a_checkpoint_is_loaded_as_it_was_saved(tmp_path) -> None:
    training = Training(tmp_path)
    training.epoch(0.5, 3.0)
    loaded = training.checkpoints.load(CPU)
    model, optimizer = training.state()
    assert loaded.history == training.history
    assert same(loaded.model, model)
    assert same(loaded.optimizer, optimizer)


@pytest.mark.parametrize("name", ["epoch-0001.safetensors", LAST, BEST])
def test_a_checkpoint_that_this_user_may_not_read_is_not_trained_again(
    tmp_path, monkeypatch, name
) -> None:
    """A colleague's checkpoint, of mode 0600: refused with the cure, whichever file it is."""
    training = Training(tmp_path)
    training.epoch()
    training.end()
    deny(monkeypatch, name)
    readers = [lambda: training.checkpoints.load(CPU)]
    if name != BEST:  # which only a training reads
        readers.append(lambda: load_backbone(StoredDirectory(tmp_path)))
    for read in readers:
        with pytest.raises(Denied, match=rf"{name}: this user may not read it .*chmod -R g\+rX"):
            read()


def test_the_files_of_a_checkpoint_have_the_mode_of_the_umask(tmp_path) -> None:
    before = os.umask(0o027)
    try:
        Training(tmp_path).epoch()
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes.values()) == {0o640}
    assert len(modes) == 4


def test_nothing_is_loaded_where_nothing_was_saved(tmp_path) -> None:
    assert Checkpoints(StoredDirectory(tmp_path / "absent")).load(CPU) is None


def test_superseded_files_are_removed_but_the_best_state_stays(tmp_path) -> None:
    training = Training(tmp_path)
    for top1 in (0.1, 0.9, 0.2, 0.3):
        training.epoch(top1, 1.0)
    assert names(tmp_path) == {
        LAST,
        BEST,
        "epoch-0002.safetensors",
        "epoch-0004.safetensors",
        "epoch-0004.adam.safetensors",
    }
    assert json.loads((tmp_path / BEST).read_text())["epoch"] == 2
    assert json.loads((tmp_path / LAST).read_text())["epoch"] == 4


def test_a_finished_training_keeps_no_optimiser(tmp_path) -> None:
    training = Training(tmp_path)
    training.epoch()
    training.end()
    assert names(tmp_path) == {LAST, BEST, "epoch-0001.safetensors"}
    loaded = training.checkpoints.load(CPU)
    assert loaded.optimizer is None
    assert loaded.history == training.history


def test_every_epoch_is_kept_on_request_but_one_optimiser(tmp_path) -> None:
    training = Training(tmp_path, keep="every")
    for _ in range(3):
        training.epoch()
    states = {f"epoch-000{epoch}.safetensors" for epoch in (1, 2, 3)}
    assert names(tmp_path) == {LAST, BEST, *states, "epoch-0003.adam.safetensors"}


@pytest.mark.parametrize("keep", ["last", "none"])
def test_only_the_last_epoch_is_kept_on_request_even_after_a_better_one(tmp_path, keep) -> None:
    earlier = Training(tmp_path)
    earlier.epoch(0.9, 1.0)  # resumed by a sweep that keeps less
    training = Training(tmp_path, keep=keep)
    training.checkpoints.resume(training.model, training.optimizer, 2)
    training.history = earlier.history
    training.epoch(0.1, 1.0)
    assert names(tmp_path) == {LAST, "epoch-0002.safetensors", "epoch-0002.adam.safetensors"}
    assert training.checkpoints.load(CPU).history == training.history
    training.end()
    assert names(tmp_path) == {LAST, "epoch-0002.safetensors"}
    assert Training(tmp_path).checkpoints.load(CPU).history == training.history


@pytest.mark.parametrize(
    ("history", "best"),
    [
        ((report(1), report(2)), 2),
        ((report(1, 0.3, 5.0), report(2, 0.4, 9.0), report(3, 0.1, 1.0)), 2),
        ((report(1, 0.3, 5.0), report(2, 0.3, 4.0)), 2),
        ((report(1, 0.3, 4.0), report(2, 0.3, 5.0)), 1),
        ((report(1, 0.3, 4.0), report(2, 0.3, 4.0)), 1),
        ((report(1, 0.0, 4.0), report(2)), 1),
    ],
)
def test_the_best_epoch_is_of_highest_top1_then_lowest_rank_then_first(history, best) -> None:
    assert best_epoch(history) == best


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: (d / LAST).write_text(""),
        lambda d: (d / LAST).write_text("{"),
        lambda d: (d / LAST).write_text("[]"),
        lambda d: (d / LAST).write_bytes(b"\xff\xfe\x00"),
        lambda d: (d / LAST).write_text('{"epoch": 1}'),
        lambda d: (d / LAST).write_text('{"history": [{"day": 1}], "model": "", "optimizer": ""}'),
        lambda d: (d / LAST).write_text('{"history": [], "model": null, "optimizer": null}'),
        lambda d: (d / BEST).write_text("{"),
        lambda d: (d / BEST).unlink(),
        lambda d: (d / "epoch-0001.safetensors").write_bytes(b""),
        lambda d: (d / "epoch-0001.safetensors").write_bytes(b"x" * 100),
        lambda d: (d / "epoch-0001.adam.safetensors").write_bytes(b"x" * 100),
        lambda d: (d / "epoch-0001.safetensors").unlink(),
        lambda d: (d / "epoch-0001.adam.safetensors").unlink(),
        lambda d: (d / "epoch-0001.safetensors").write_bytes(
            (d / "epoch-0001.safetensors").read_bytes()[:-8]
        ),
    ],
)
def test_a_damaged_checkpoint_counts_as_none(tmp_path, damage) -> None:
    training = Training(tmp_path)
    training.epoch()
    damage(tmp_path)
    assert training.checkpoints.load(CPU) is None


@pytest.mark.parametrize("name", [LAST, BEST])
def test_a_training_begun_again_over_a_damaged_note_saves(tmp_path, name) -> None:
    training = Training(tmp_path)
    training.epoch(0.9, 1.0)
    (tmp_path / name).write_text("{")
    again = Training(tmp_path)
    again.epoch(0.1, 1.0)
    again.epoch(0.0, 1.0)
    assert len(again.checkpoints.load(CPU).history) == 2


def test_an_optimiser_restored_goes_on_to_the_bit(tmp_path) -> None:
    straight, resumed = Training(tmp_path / "a"), Training(tmp_path / "b")
    for _ in range(3):
        straight.epoch()
    model, optimizer = straight.state()
    resumed.model.load_state_dict(model)
    restore_optimizer(resumed.optimizer, optimizer)
    resumed.history = straight.history
    assert same(resumed.state()[1], optimizer)
    for training in (straight, resumed):
        training.epoch()
    assert same(straight.state()[0], resumed.state()[0])
    assert same(straight.state()[1], resumed.state()[1])


def test_an_empty_optimiser_state_is_restored_as_empty(tmp_path) -> None:
    training = Training(tmp_path)
    restore_optimizer(training.optimizer, flatten_optimizer(training.optimizer))
    assert flatten_optimizer(training.optimizer) == {}


def test_a_report_of_not_a_number_comes_back(tmp_path) -> None:
    training = Training(tmp_path)
    training.epoch()
    history = (replace(training.history[0], loss=float("nan")),)
    training.checkpoints.save(history, training.model, training.optimizer)
    assert training.checkpoints.load(CPU).history[0].loss != 0


def test_a_turned_bit_in_weights_is_found_and_the_checkpoint_not_used(tmp_path) -> None:
    checkpoints = Checkpoints(StoredDirectory(tmp_path))
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    checkpoints.save((EpochReport(1, 0.5, 1.0, 10.0),), model, optimizer)
    assert Checkpoints(StoredDirectory(tmp_path)).load(torch.device("cpu")) is not None
    path = tmp_path / "epoch-0001.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert Checkpoints(StoredDirectory(tmp_path)).load(torch.device("cpu")) is None
    with pytest.raises(ValueError, match="its content differs from what was saved"):
        load_backbone(StoredDirectory(tmp_path))
