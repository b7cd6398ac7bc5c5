"""The pooled model, and the order in which an epoch visits subjects."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.small_shards import plant
from tests.builders.tiny_backbone import tiny_backbone
from trainables.data.images import ResidentImages, split_batches
from trainables.exceptions import Stopped
from trainables.models.finetuned import build_model
from trainables.models.heads import project_batch
from trainables.models.losses import contrastive_loss, retrieval
from trainables.models.pooled import PooledModel
from trainables.models.widths import pooled_widths
from trainables.results.epoch_report import EpochReport
from trainables.spec import Pooled
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.batches import TrainingData, epoch_steps
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune
from trainables.training.retrieval import with_retrieval

SIZE = 16
OBJECTIVE = Pooled(learning_rate=3e-3, batch_size=16, epochs=3, validation=0.2)
N_VERTICES = (6, 15, 12)


def pooled(objective: Pooled = OBJECTIVE, seed: int = 0) -> PooledModel:
    return build_model(objective, tiny_backbone(SIZE, 16), SIZE, N_VERTICES, seed)


def some_images(n: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, SIZE, SIZE), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("hidden_dim", "n_vertices", "widths"),
    [
        ("mean", (704, 595), (649, 162)),
        ("mean", (4, 11), (7, 2)),
        ("mean", (1, 1), (2, 2)),
        (5741, (704, 595), (5741, 1435)),
        (64, (4, 11, 18), (64, 16)),
        (1, (4, 11), (2, 2)),
    ],
)
def test_widths_are_the_mean_or_the_constant_and_a_quarter_of_it(
    hidden_dim, n_vertices, widths
) -> None:
    assert pooled_widths(Pooled(hidden_dim=hidden_dim), n_vertices) == widths


def test_a_pooled_model_has_one_readout_a_subject_and_one_of_all_else() -> None:
    model = pooled()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    readouts = [shapes[f"response_readouts.{k}.weight"] for k in range(3)]
    assert readouts == [(11, n) for n in N_VERTICES]
    assert shapes["image_readout.weight"] == (11, 20)
    assert shapes["head.0.weight"] == (11, 11)
    assert shapes["head.6.weight"] == (2, 11)
    assert not any(name.endswith("bias") for name in shapes if "readout" in name)


def test_a_batch_trains_its_own_subject_s_readout_and_all_that_is_shared() -> None:
    model = pooled()
    embedder = model.of_subject(1)
    images, responses = some_images(), torch.randn(5, N_VERTICES[1])
    embedder.compare(embedder.embed_images(images), embedder.embed_responses(responses)).backward()
    untouched = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert untouched == {"response_readouts.0.weight", "response_readouts.2.weight"}


def test_the_loss_is_the_contrastive_one_of_the_subject_s_embeddings() -> None:
    model = pooled(replace(OBJECTIVE, temperature=0.07)).eval()
    images, responses = some_images(), torch.randn(5, N_VERTICES[2])
    seen = model.head(model.image_readout(model.backbone((images.float() / 255 - MEAN) / STD)))
    answered = model.head(responses @ model.response_readouts[2].weight.T)
    embedder = model.of_subject(2)
    loss = embedder.compare(embedder.embed_images(images), embedder.embed_responses(responses))
    torch.testing.assert_close(loss, contrastive_loss(seen, answered, 0.07))


MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def test_a_seed_makes_the_same_pooled_weights_and_another_seed_others() -> None:
    first, again, other = (list(pooled(seed=s).state_dict().values()) for s in (3, 3, 4))
    assert all(map(torch.equal, first, again))
    assert not all(map(torch.equal, first, other))


def rows_of(*counts: int) -> list[Tensor]:
    return [torch.arange(1000 * k, 1000 * k + n) for k, n in enumerate(counts)]


@pytest.mark.parametrize("order", ["sequential", "interleaved"])
def test_an_epoch_visits_every_row_of_every_subject_once_and_a_batch_is_of_one(order) -> None:
    rows = rows_of(40, 33, 2)
    steps = epoch_steps(rows, 16, order)
    assert [len(part) for part in sorted((s.rows for s in steps), key=len)] == [
        2,
        8,
        16,
        16,
        16,
        17,
    ]
    for subject, own in enumerate(rows):
        seen = torch.cat([step.rows for step in steps if step.subject == subject])
        assert not torch.equal(seen, own) or len(own) == 2
        assert torch.equal(seen.sort().values, own)


def test_a_sequential_epoch_takes_one_subject_after_another() -> None:
    assert [s.subject for s in epoch_steps(rows_of(40, 33, 2), 16, "sequential")] == [
        0,
        0,
        0,
        1,
        1,
        2,
    ]


def test_an_interleaved_epoch_mixes_subjects_in_proportion_and_by_the_seed() -> None:
    rows = rows_of(1600, 800, 800)
    first_half: Counter[int] = Counter()
    orders = set()
    for seed in range(40):
        torch.manual_seed(seed)
        order = [step.subject for step in epoch_steps(rows, 16, "interleaved")]
        torch.manual_seed(seed)
        assert order == [step.subject for step in epoch_steps(rows, 16, "interleaved")]
        orders.add(tuple(order))
        first_half.update(order[:100])
    assert len(orders) == 40
    shares = np.array([first_half[k] for k in range(3)]) / (40 * 100)
    np.testing.assert_allclose(shares, [0.5, 0.25, 0.25], atol=0.03)


def test_one_subject_s_epoch_is_shuffled_and_cut_as_ever() -> None:
    rows = torch.arange(50)
    torch.manual_seed(7)
    steps = epoch_steps([rows], 16, "sequential")
    torch.manual_seed(7)
    expected = split_batches(rows[torch.randperm(50)], 16)
    assert all(torch.equal(s.rows, e) for s, e in zip(steps, expected, strict=True))


def planted(n: int = 60) -> list[TrainingData]:
    data = []
    for seed, n_vertices in enumerate(N_VERTICES):
        images, responses = plant(n, SIZE, n_vertices, np.random.default_rng(seed))
        rows = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        resident = ResidentImages(torch.from_numpy(images))
        data.append(TrainingData(resident, torch.from_numpy(responses), rows))
    return data


def run_finetuning(
    directory: Path, objective: Pooled = OBJECTIVE, stop_after: int | None = None
) -> tuple[dict[str, Tensor], tuple[EpochReport, ...]]:
    backbone = tiny_backbone(SIZE, 16)
    history = finetune(
        objective,
        0,
        backbone,
        planted(),
        Checkpoints(StoredDirectory(directory)),
        lambda report: report.epoch != stop_after,
    )
    return backbone.state_dict(), history


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("order", ["sequential", "interleaved"])
def test_a_pooled_training_that_was_stopped_resumes_to_the_same_weights(tmp_path, order) -> None:
    objective = replace(OBJECTIVE, order=order)
    straight, history = run_finetuning(tmp_path / "straight", objective)
    with pytest.raises(Stopped):
        run_finetuning(tmp_path / "stopped", objective, stop_after=1)
    resumed, again = run_finetuning(tmp_path / "stopped", objective)
    assert equal(straight, resumed)
    assert [r.loss for r in history] == [r.loss for r in again]


def test_the_two_orders_train_to_different_weights(tmp_path) -> None:
    first, _ = run_finetuning(tmp_path / "a")
    second, _ = run_finetuning(tmp_path / "b", replace(OBJECTIVE, order="interleaved"))
    assert not equal(first, second)


def test_a_planted_signal_is_learned_and_retrieved_above_chance(tmp_path) -> None:
    objective = replace(OBJECTIVE, epochs=12, hidden_dim=32)
    _, history = run_finetuning(tmp_path, objective)
    assert history[-1].loss < 0.8 * history[0].loss
    assert history[-1].retrieval_top1 is not None
    assert history[-1].retrieval_top1 > 2.5 / 12  # 12 images a subject are held back


def test_retrieval_is_within_each_subject_and_averaged_over_subjects() -> None:
    model, data = pooled(), planted()
    rows = [one.held_back(share) for one, share in zip(data, (0.2, 0.5, 0.0), strict=True)]
    held = [part for _, part in rows]
    report = EpochReport(1, 0.5, 1.0, 1.0)
    found = with_retrieval(report, model, data, held)
    expected = []
    for subject in (0, 1):  # of the third, no image is held back
        one, embedder = data[subject], model.eval().of_subject(subject)
        images = embedder.read_images(one.images.tensor[held[subject]])
        responses = embedder.read_responses(one.responses[held[subject]])
        expected.append(retrieval(*(project_batch(model.head, x) for x in (images, responses))))
    assert found.retrieval_top1 == pytest.approx(np.mean([e.top1 for e in expected]))
    assert found.retrieval_median_rank == pytest.approx(np.mean([e.median_rank for e in expected]))
    assert found.loss == report.loss
