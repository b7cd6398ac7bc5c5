"""Fine-tuning that is stopped, killed or damaged, and gone on with: to the same weights."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.builders.tiny_backbone import tiny_backbone
from tests.builders.tiny_finetuning import (
    BOTH,
    CONTRASTIVE,
    CPU,
    SIZE,
    Listener,
    assert_same,
    planted,
    run_finetuning,
)
from trainables.data.images import StreamedImages
from trainables.exceptions import Stopped
from trainables.results.epoch_report import EpochReport
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune

pytestmark = pytest.mark.usefixtures("one_thread")


class Killed(BaseException):
    """Stands for the end of the process."""


def test_a_training_in_bfloat16_that_was_stopped_ends_as_an_undisturbed_one(tmp_path) -> None:
    undisturbed = run_finetuning(tmp_path / "undisturbed", precision="bfloat16")
    with pytest.raises(Stopped):
        run_finetuning(tmp_path / "stopped", precision="bfloat16", listener=Listener(stop_after=2))
    assert_same(run_finetuning(tmp_path / "stopped", precision="bfloat16"), undisturbed)


@BOTH
@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
@pytest.mark.parametrize("saving", ["every epoch", "seldom"])
def test_a_training_killed_after_any_epoch_ends_as_an_undisturbed_one(
    tmp_path, monkeypatch, objective, epoch, saving
) -> None:
    interval = {"every epoch": 0.0, "seldom": 1e9}[saving]
    monkeypatch.setattr("trainables.training.checkpoints.SAVING_INTERVAL", interval)
    monkeypatch.setattr("trainables.training.checkpoints.SAVING_SHARE", 1e9)

    def die(report: EpochReport) -> bool:
        if report.epoch == epoch:
            raise Killed
        return True

    checkpoints = Checkpoints(StoredDirectory(tmp_path / "killed"))
    with pytest.raises(Killed):
        finetune(objective, 0, tiny_backbone(SIZE, 16), [planted()], checkpoints, die)
    loaded = checkpoints.load(CPU)
    n_saved = {"every epoch": epoch - 1, "seldom": 0}[saving]
    assert (len(loaded.history) if loaded else 0) == n_saved
    assert_same(
        run_finetuning(tmp_path / "killed", objective),
        run_finetuning(tmp_path / "straight", objective),
    )


def test_a_stopped_training_with_options_ends_as_an_undisturbed_one(tmp_path) -> None:
    objective = replace(CONTRASTIVE, direction="both", temperature="learned", memory=40)
    undisturbed = run_finetuning(tmp_path / "undisturbed", objective)
    with pytest.raises(Stopped):
        run_finetuning(tmp_path / "stopped", objective, listener=Listener(stop_after=2))
    assert_same(run_finetuning(tmp_path / "stopped", objective), undisturbed)
    plain = run_finetuning(tmp_path / "plain", replace(objective, memory=0))
    assert [one.loss for one in plain[1]] < [one.loss for one in undisturbed[1]]


def test_a_training_killed_within_an_epoch_ends_as_an_undisturbed_one(tmp_path) -> None:
    data = planted()
    n_batches = 0

    def dying(rows: Tensor) -> Iterator[Tensor]:
        nonlocal n_batches
        for part in torch.split(rows, 16):
            n_batches += 1
            if n_batches == 7:
                raise Killed
            yield data.images.tensor[part]

    doomed = replace(data, images=StreamedImages(60, SIZE, dying, CPU))
    with pytest.raises(Killed):
        run_finetuning(tmp_path / "killed", data=doomed)
    assert_same(run_finetuning(tmp_path / "killed"), run_finetuning(tmp_path / "straight"))


def test_a_complete_training_resumed_trains_nothing_and_gives_its_weights(tmp_path) -> None:
    first = run_finetuning(tmp_path)
    listener, backbone = Listener(), tiny_backbone(SIZE, 16)
    history = finetune(
        CONTRASTIVE, 0, backbone, [planted()], Checkpoints(StoredDirectory(tmp_path)), listener
    )
    assert listener.reports == []
    assert_same(first, (backbone.state_dict(), history))
    assert history == first[1]


def test_a_training_asked_to_stop_keeps_its_checkpoint_and_its_history(tmp_path) -> None:
    checkpoints = Checkpoints(StoredDirectory(tmp_path))
    with pytest.raises(Stopped) as stopped:
        finetune(
            CONTRASTIVE,
            0,
            tiny_backbone(SIZE, 16),
            [planted()],
            checkpoints,
            Listener(stop_after=2),
        )
    assert [report.epoch for report in stopped.value.history] == [1, 2]
    loaded = checkpoints.load(CPU)
    assert loaded.history == stopped.value.history
    assert loaded.optimizer is not None


def test_a_stop_after_the_last_epoch_changes_nothing(tmp_path) -> None:
    last = CONTRASTIVE.epochs
    history = finetune(
        CONTRASTIVE,
        0,
        tiny_backbone(SIZE, 16),
        [planted()],
        Checkpoints(StoredDirectory(tmp_path)),
        Listener(stop_after=last),
    )
    assert len(history) == last


def test_a_damaged_checkpoint_is_trained_again_to_the_same_weights(tmp_path) -> None:
    first = run_finetuning(tmp_path)
    (tmp_path / "last.json").write_text("{")
    assert_same(first, run_finetuning(tmp_path))
