"""The order of batches: drawn anew for each seed and each epoch, and the same when repeated."""

from pathlib import Path

import pytest
import torch

from tests.builders.tiny_finetuning import CONTRASTIVE, planted, run_finetuning
from trainables.training import finetune
from trainables.training.batches import Step, epoch_steps

Order = tuple[int, ...]


@pytest.fixture
def orders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[tuple[int, int], Order]:
    """The rows in the order of training, by seed and epoch."""
    drawn: list[Order] = []

    def record(*arguments: object) -> list[Step]:
        steps = epoch_steps(*arguments)  # type: ignore[arg-type]
        drawn.append(tuple(torch.cat([step.rows for step in steps]).tolist()))
        return steps

    monkeypatch.setattr(finetune, "epoch_steps", record)
    found = {}
    for seed in (0, 1):
        drawn.clear()
        run_finetuning(tmp_path / str(seed), seed=seed)
        found |= {(seed, epoch): order for epoch, order in enumerate(drawn, start=1)}
    return found


def test_each_seed_and_epoch_has_its_own_order_of_the_same_rows(orders) -> None:
    assert len(orders) == 2 * CONTRASTIVE.epochs
    assert len(set(orders.values())) == len(orders)
    trained, _ = planted().held_back(CONTRASTIVE.validation)
    assert all(sorted(order) == sorted(trained.tolist()) for order in orders.values())


def test_the_order_follows_from_seed_and_epoch_alone(orders) -> None:
    trained, _ = planted().held_back(CONTRASTIVE.validation)
    for (seed, epoch), order in orders.items():
        generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
        shuffled = trained[torch.randperm(len(trained), generator=generator)]
        assert order == tuple(shuffled.tolist())
