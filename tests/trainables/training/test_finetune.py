"""Fine-tuning: repeatable and resumable bit for bit, and it learns what is planted."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.small_shards import plant
from trainables.data.images import Images, ResidentImages, StreamedImages
from trainables.exceptions import Diverged, Stopped
from trainables.results.epoch_report import EpochReport
from trainables.spec import FULL, PRECISIONS, Contrastive, Finetuned, Precision, Regression
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune
from trainables.training.synchronised import ForwardConfig

CPU = torch.device("cpu")
SIZE = 16
CONTRASTIVE = Contrastive(learning_rate=3e-3, batch_size=16, epochs=4, validation=0.2)
REGRESSION = Regression(learning_rate=3e-3, batch_size=16, epochs=4, validation=0.2)
BOTH = pytest.mark.parametrize("objective", [CONTRASTIVE, REGRESSION], ids=lambda o: o.method)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tiny_backbone() -> nn.Module:
    """Build a backbone with dropout, as AlexNet has, from a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Conv2d(3, 16, 4, stride=4),
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Dropout(0.1),
            nn.Linear(16 * (SIZE // 4) ** 2, 20),
        )


def planted(n: int = 60, n_vertices: int = 10, seed: int = 0) -> TrainingData:
    images, responses = plant(n, SIZE, n_vertices, np.random.default_rng(seed))
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    return TrainingData(ResidentImages(torch.from_numpy(images)), torch.from_numpy(responses), rows)


def streamed(images: Images) -> StreamedImages:
    assert isinstance(images, ResidentImages)

    def read(rows: Tensor) -> Iterator[Tensor]:
        for part in torch.split(rows, 7):
            yield images.tensor[part]

    return StreamedImages(images.n_images, images.image_size, read, CPU)


@dataclass
class Listener:
    """Notes reports, and asks to stop after an epoch."""

    stop_after: int | None = None
    reports: list[EpochReport] = field(default_factory=list)

    def __call__(self, report: EpochReport) -> bool:
        self.reports.append(report)
        return report.epoch != self.stop_after


class Killed(BaseException):
    """Stands for the end of the process."""


def run_finetuning(
    directory: Path,
    objective: Finetuned = CONTRASTIVE,
    data: TrainingData | None = None,
    seed: int = 0,
    precision: Precision = FULL,
    listener: Listener | None = None,
) -> tuple[dict[str, Tensor], tuple[EpochReport, ...]]:
    """Tune a fresh backbone; return its weights and the reports."""
    backbone = tiny_backbone()
    history = finetune(
        objective,
        seed,
        backbone,
        [data or planted()],
        Checkpoints(StoredDirectory(directory)),
        listener or Listener(),
        forward_config=ForwardConfig(precision=precision),
    )
    return backbone.state_dict(), history


def measured(history: tuple[EpochReport, ...]) -> list[tuple[float | None, ...]]:
    """Take from reports what does not depend on the clock."""
    return [(r.epoch, r.loss, r.retrieval_top1, r.retrieval_median_rank) for r in history]


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.flatten() for value in state.values()])


def assert_same(first, second) -> None:
    assert measured(first[1]) == measured(second[1])
    assert first[0].keys() == second[0].keys()
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])


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
    before, after, half_after = map(flat, (tiny_backbone().state_dict(), full[0], half[0]))
    assert (half_after - after).norm() < 0.3 * (after - before).norm()


def test_a_training_in_bfloat16_that_was_stopped_ends_as_an_undisturbed_one(tmp_path) -> None:
    undisturbed = run_finetuning(tmp_path / "undisturbed", precision="bfloat16")
    with pytest.raises(Stopped):
        run_finetuning(tmp_path / "stopped", precision="bfloat16", listener=Listener(stop_after=2))
    assert_same(run_finetuning(tmp_path / "stopped", precision="bfloat16"), undisturbed)


def test_another_seed_gives_other_weights(tmp_path) -> None:
    first, second = run_finetuning(tmp_path / "0", seed=0), run_finetuning(tmp_path / "1", seed=1)
    assert any(not torch.equal(first[0][name], second[0][name]) for name in first[0])


def test_the_global_generator_is_left_as_it_was(tmp_path) -> None:
    before = torch.random.get_rng_state()
    run_finetuning(tmp_path)
    assert torch.equal(before, torch.random.get_rng_state())


@BOTH
@pytest.mark.parametrize("epoch", [1, 2, 3, 4])
@pytest.mark.parametrize("saving", ["every epoch", "seldom"])
def test_a_training_killed_after_any_epoch_ends_as_an_undisturbed_one(
    tmp_path, monkeypatch, objective, epoch, saving
) -> None:
    share = {"every epoch": 1e9, "seldom": 1e-9}[saving]
    monkeypatch.setattr("trainables.training.checkpoints.SAVING_SHARE", share)

    def die(report: EpochReport) -> bool:
        if report.epoch == epoch:
            raise Killed
        return True

    checkpoints = Checkpoints(StoredDirectory(tmp_path / "killed"))
    with pytest.raises(Killed):
        finetune(objective, 0, tiny_backbone(), [planted()], checkpoints, die)
    loaded = checkpoints.load(CPU)
    n_saved = min(epoch - 1, {"every epoch": 9, "seldom": 1}[saving])
    assert (len(loaded.history) if loaded else 0) == n_saved
    assert_same(
        run_finetuning(tmp_path / "killed", objective),
        run_finetuning(tmp_path / "straight", objective),
    )


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
    listener, backbone = Listener(), tiny_backbone()
    history = finetune(
        CONTRASTIVE, 0, backbone, [planted()], Checkpoints(StoredDirectory(tmp_path)), listener
    )
    assert listener.reports == []
    assert_same(first, (backbone.state_dict(), history))
    assert history == first[1]


@BOTH
def test_streamed_images_train_as_resident_ones_to_the_bit(tmp_path, objective) -> None:
    data = planted()
    stream = replace(data, images=streamed(data.images))
    assert_same(
        run_finetuning(tmp_path / "resident", objective, data),
        run_finetuning(tmp_path / "stream", objective, stream),
    )


def test_a_training_asked_to_stop_keeps_its_checkpoint_and_its_history(tmp_path) -> None:
    checkpoints = Checkpoints(StoredDirectory(tmp_path))
    with pytest.raises(Stopped) as stopped:
        finetune(CONTRASTIVE, 0, tiny_backbone(), [planted()], checkpoints, Listener(stop_after=2))
    assert [report.epoch for report in stopped.value.history] == [1, 2]
    loaded = checkpoints.load(CPU)
    assert loaded.history == stopped.value.history
    assert loaded.optimizer is not None


def test_a_stop_after_the_last_epoch_changes_nothing(tmp_path) -> None:
    last = CONTRASTIVE.epochs
    history = finetune(
        CONTRASTIVE,
        0,
        tiny_backbone(),
        [planted()],
        Checkpoints(StoredDirectory(tmp_path)),
        Listener(stop_after=last),
    )
    assert len(history) == last


def test_every_epoch_is_reported_once_and_in_order(tmp_path) -> None:
    listener = Listener()
    history = finetune(
        CONTRASTIVE,
        0,
        tiny_backbone(),
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
    with pytest.raises(ValueError, match="1 training images left of 3; at least 2 needed"):
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
    untuned = tiny_backbone().state_dict()
    assert all(not torch.equal(finetuned[name], untuned[name]) for name in untuned)


def test_the_reported_loss_is_the_mean_over_images_not_over_batches(tmp_path) -> None:
    data = planted(n=18)
    frozen = Regression(learning_rate=1e-30, batch_size=16, epochs=1)
    backbone = tiny_backbone()
    backbone[3].p = 0.0
    history = finetune(
        frozen, 0, backbone, [data], Checkpoints(StoredDirectory(tmp_path / "a")), Listener()
    )
    whole = replace(frozen, batch_size=18)
    backbone = tiny_backbone()
    backbone[3].p = 0.0
    at_once = finetune(
        whole, 0, backbone, [data], Checkpoints(StoredDirectory(tmp_path / "b")), Listener()
    )
    assert history[0].loss == pytest.approx(at_once[0].loss, rel=1e-5)


def test_a_damaged_checkpoint_is_trained_again_to_the_same_weights(tmp_path) -> None:
    first = run_finetuning(tmp_path)
    (tmp_path / "last.json").write_text("{")
    assert_same(first, run_finetuning(tmp_path))
