"""Fine-tuning: repeatable, learns what is planted, and trains on training images alone."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.builders.tiny_backbone import tiny_backbone
from tests.builders.tiny_finetuning import (
    BOTH,
    CONTRASTIVE,
    CPU,
    REGRESSION,
    SIZE,
    Listener,
    assert_same,
    planted,
    run_finetuning,
)
from trainables.data.images import Images, ResidentImages, StreamedImages
from trainables.exceptions import Diverged
from trainables.spec import PRECISIONS, Contrastive, Regression
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune

pytestmark = pytest.mark.usefixtures("one_thread")


def streamed(images: Images) -> StreamedImages:
    assert isinstance(images, ResidentImages)

    def read(rows: Tensor) -> Iterator[Tensor]:
        for part in torch.split(rows, 7):
            yield images.tensor[part]

    return StreamedImages(images.n_images, images.image_size, read, CPU)


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in state.values()])


@BOTH
def test_the_same_trial_gives_the_same_weights_to_the_bit(tmp_path, objective) -> None:
    first = run_finetuning(tmp_path / "first", objective)
    torch.rand(7)  # the global generator has moved on: the trial must not notice
    assert_same(first, run_finetuning(tmp_path / "second", objective))


def test_bfloat16_trains_nearly_alike_and_keeps_weights_of_float32(tmp_path) -> None:
    full, half = (run_finetuning(tmp_path / one, REGRESSION, precision=one) for one in PRECISIONS)
    assert {value.dtype for value in half[0].values()} == {torch.float32}
    for a, b in zip(full[1], half[1], strict=True):
        assert a.loss != b.loss
        assert a.loss == pytest.approx(b.loss, rel=0.02)
    before, after, half_after = map(flat, (tiny_backbone(SIZE, 16).state_dict(), full[0], half[0]))
    assert (half_after - after).norm() < 0.3 * (after - before).norm()


def test_another_seed_gives_other_weights(tmp_path) -> None:
    first, second = run_finetuning(tmp_path / "0", seed=0), run_finetuning(tmp_path / "1", seed=1)
    assert any(not torch.equal(first[0][name], second[0][name]) for name in first[0])


def test_the_global_generator_is_left_as_it_was(tmp_path) -> None:
    before = torch.random.get_rng_state()
    run_finetuning(tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


@BOTH
def test_streamed_images_train_as_resident_ones_to_the_bit(tmp_path, objective) -> None:
    data = planted()
    stream = replace(data, images=streamed(data.images))
    assert_same(
        run_finetuning(tmp_path / "resident", objective, data),
        run_finetuning(tmp_path / "stream", objective, stream),
    )


def test_every_epoch_is_reported_once_and_in_order(tmp_path) -> None:
    listener = Listener()
    history = finetune(
        CONTRASTIVE,
        0,
        tiny_backbone(SIZE, 16),
        [planted()],
        Checkpoints(StoredDirectory(tmp_path)),
        listener,
    )
    assert tuple(listener.reports) == history
    assert [report.epoch for report in history] == [1, 2, 3, 4]
    assert all(report.seconds > 0 and report.images_per_second > 0 for report in history)


@BOTH
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_planted_signal_is_learned_and_retrieved_above_chance(
    tmp_path, objective, precision
) -> None:
    objective = replace(objective, epochs=15, batch_size=32)
    _, history = run_finetuning(
        tmp_path, objective, planted(n=200, n_vertices=40), precision=precision
    )
    chance = 1 / 40
    assert history[-1].loss < 0.8 * history[0].loss
    assert history[-1].retrieval_top1 > 4 * chance
    assert history[-1].retrieval_median_rank < 10


def test_responses_far_from_zero_are_retrieved_as_those_around_it(tmp_path) -> None:
    data = planted(n=200, n_vertices=40)
    far = replace(data, responses=data.responses + 5)  # far from where the images are read out
    _, history = run_finetuning(tmp_path, replace(CONTRASTIVE, epochs=15, batch_size=32), far)
    assert history[-1].retrieval_top1 > 4 / 40


def test_shuffled_responses_are_retrieved_at_chance(tmp_path) -> None:
    data = planted(n=200)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    shuffled = replace(data, responses=data.responses[order])
    _, history = run_finetuning(tmp_path, replace(CONTRASTIVE, epochs=12, batch_size=32), shuffled)
    assert history[-1].retrieval_top1 <= 0.1
    assert 12 < history[-1].retrieval_median_rank < 29


def test_no_retrieval_is_measured_where_nothing_is_held_back(tmp_path) -> None:
    _, history = run_finetuning(tmp_path, replace(CONTRASTIVE, validation=0.0, epochs=1))
    assert history[0].retrieval_top1 is None
    assert history[0].retrieval_median_rank is None


def test_held_back_rows_are_the_last_of_the_split_and_never_trained_on() -> None:
    data = planted(n=20)
    trained, held = data.held_back(0.25)
    assert torch.equal(torch.cat([trained, held]), data.rows)
    assert len(held) == 5


def test_held_back_images_do_not_change_the_weights(tmp_path) -> None:
    data = planted()
    held = data.held_back(CONTRASTIVE.validation)[1]
    tensor = data.images.tensor.clone()
    tensor[held] = 0
    other = replace(data, images=ResidentImages(tensor))
    first, second = (
        run_finetuning(tmp_path / "a", data=data),
        run_finetuning(tmp_path / "b", data=other),
    )
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])


def test_rows_that_are_not_for_training_are_never_read(tmp_path) -> None:
    data = planted(n=60)
    responses = data.responses.clone()
    responses[data.rows[40:]] = float("nan")
    _, history = run_finetuning(
        tmp_path, data=replace(data, responses=responses, rows=data.rows[:40])
    )
    assert all(np.isfinite(report.loss) for report in history)


def test_too_few_images_left_to_train_on_are_refused() -> None:
    with pytest.raises(ValueError, match="1 training images left of 3; expected at least 2"):
        planted(n=3).held_back(0.67)


@BOTH
def test_a_loss_that_is_not_a_number_ends_the_training_and_names_the_cure(
    tmp_path, objective
) -> None:
    data = planted()
    data.responses[3, 0] = float("nan")
    with pytest.raises(Diverged, match=r"not a number in epoch 1; lower learning_rate"):
        run_finetuning(tmp_path, replace(objective, validation=0.0), data)
    assert Checkpoints(StoredDirectory(tmp_path)).load(CPU) is None


@pytest.mark.parametrize("objective", [Contrastive, Regression])
@pytest.mark.parametrize(
    ("n", "batch_size"), [(17, 16), (33, 16), (5, 64), (2, 1024), (3, 2)], ids=str
)
def test_any_number_of_images_trains_in_any_batch_size(tmp_path, objective, n, batch_size) -> None:
    settings = objective(learning_rate=1e-3, batch_size=batch_size, epochs=1)
    _, history = run_finetuning(tmp_path, settings, planted(n))
    assert np.isfinite(history[0].loss)


@BOTH
@pytest.mark.parametrize("n_vertices", [1, 4])
def test_the_smallest_rois_train(tmp_path, objective, n_vertices) -> None:
    _, history = run_finetuning(tmp_path, objective, planted(n_vertices=n_vertices))
    assert len(history) == objective.epochs
    assert all(np.isfinite(report.loss) for report in history)


@BOTH
def test_the_backbone_is_finetuned_in_place_and_every_layer_of_it(tmp_path, objective) -> None:
    finetuned, _ = run_finetuning(tmp_path, replace(objective, epochs=1))
    untuned = tiny_backbone(SIZE, 16).state_dict()
    assert all(not torch.equal(finetuned[name], untuned[name]) for name in untuned)


def test_the_reported_loss_is_the_mean_over_images_not_over_batches(tmp_path) -> None:
    data = planted(n=18)
    frozen = Regression(learning_rate=1e-30, batch_size=16, epochs=1)
    backbone = tiny_backbone(SIZE, 16)
    backbone[3].p = 0.0
    history = finetune(
        frozen, 0, backbone, [data], Checkpoints(StoredDirectory(tmp_path / "a")), Listener()
    )
    whole = replace(frozen, batch_size=18)
    backbone = tiny_backbone(SIZE, 16)
    backbone[3].p = 0.0
    at_once = finetune(
        whole, 0, backbone, [data], Checkpoints(StoredDirectory(tmp_path / "b")), Listener()
    )
    assert history[0].loss == pytest.approx(at_once[0].loss, rel=1e-5)
