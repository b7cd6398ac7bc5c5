"""Checkpoints when the process is killed at any write."""

import json
from pathlib import Path

import pytest

from tests.builders.tiny_checkpoints import CPU, Training, names, report, same
from trainables.storage import tensor_files
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoint_notes import BEST, LAST
from trainables.training.checkpoints import Checkpoints


class Killed(BaseException):
    """Stands for the end of the process: nothing may catch it."""


def kill_at(monkeypatch, call: int) -> list[str]:
    """Have the process end at the call-th write, half of it done; return the writes so far."""
    calls: list[str] = []

    def killing(name: str, write):
        def instead(*arguments, **options):
            calls.append(name)
            if len(calls) == call:
                if name == "write_text":
                    write(arguments[0], arguments[1][: len(arguments[1]) // 2])
                elif name == "save_file":
                    arguments[1].write_bytes(b"half a file")
                raise Killed
            return write(*arguments, **options)

        return instead

    monkeypatch.setattr(tensor_files, "save_file", killing("save_file", tensor_files.save_file))
    for name in ("replace", "write_text", "unlink"):
        monkeypatch.setattr(Path, name, killing(name, getattr(Path, name)))
    return calls


def count_writes(action) -> int:
    with pytest.MonkeyPatch.context() as patch:
        calls = kill_at(patch, 0)
        action()
        return len(calls)


def test_a_kill_at_any_write_of_a_save_leaves_this_checkpoint_or_the_one_before(tmp_path) -> None:
    rehearsal = Training(tmp_path / "rehearsal")
    rehearsal.epoch(0.1, 2.0)
    n_writes = count_writes(lambda: rehearsal.epoch(0.2, 1.0))
    assert n_writes == 10  # two states and two notes, each written and renamed; two files removed
    found = []
    for call in range(1, n_writes + 1):
        training = Training(tmp_path / str(call))
        training.epoch(0.1, 2.0)
        before = training.state()
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, call)
            with pytest.raises(Killed):
                training.epoch(0.2, 1.0)
        loaded = Checkpoints(StoredDirectory(tmp_path / str(call))).load(CPU)
        model, optimizer = before if len(loaded.history) == 1 else training.state()
        assert same(loaded.model, model)
        assert same(loaded.optimizer, optimizer)
        found.append(len(loaded.history))
    assert found == sorted(found)
    assert set(found) == {1, 2}


def test_a_kill_at_any_write_does_not_lose_the_best_epoch(tmp_path) -> None:
    for call in range(1, 11):
        training = Training(tmp_path / str(call))
        training.epoch(0.1, 2.0)
        before = training.history, training.state()
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, call)
            with pytest.raises(Killed):
                training.epoch(0.9, 1.0)
        again = Training(tmp_path / str(call))
        again.history = again.checkpoints.load(CPU).history
        if again.history == before[0]:
            again.epoch(0.9, 1.0)
        again.epoch(0.2, 1.0)
        best = json.loads((tmp_path / str(call) / BEST).read_text())
        assert best["epoch"] == 2
        assert (tmp_path / str(call) / best["model"]).exists()


def test_a_kill_at_any_write_of_the_last_save_leaves_this_epoch_or_the_one_before(tmp_path) -> None:
    found = []
    for call in range(1, 9):  # a state and two notes, each written and renamed; two files removed
        training = Training(tmp_path / str(call))
        training.epoch(0.1, 2.0)
        before = training.state()[0]
        training.step()
        training.history = (*training.history, report(2, 0.2, 1.0))
        with pytest.MonkeyPatch.context() as patch:
            kill_at(patch, call)
            with pytest.raises(Killed):
                training.end()
        loaded = Checkpoints(StoredDirectory(tmp_path / str(call))).load(CPU)
        is_complete = len(loaded.history) == 2
        assert same(loaded.model, training.state()[0] if is_complete else before)
        assert (loaded.optimizer is None) == is_complete
        found.append(len(loaded.history))
    assert found == sorted(found)
    assert set(found) == {1, 2}


def test_what_a_kill_left_behind_is_removed_by_the_next_save(tmp_path) -> None:
    training = Training(tmp_path)
    training.epoch()
    (tmp_path / ".epoch-0002.safetensors.99999").write_bytes(b"half")
    (tmp_path / "epoch-0009.adam.safetensors").write_bytes(b"orphan")
    (tmp_path / ".last.json.99999").write_text("{")
    training.epoch()
    assert names(tmp_path) == {
        LAST,
        BEST,
        "epoch-0002.safetensors",
        "epoch-0002.adam.safetensors",
    }
