"""A tiny training, saved epoch by epoch."""

from pathlib import Path

import torch
from torch import Tensor, nn

from trainables.results.epoch_report import EpochReport
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.checkpoint_notes import Keep
from trainables.training.checkpoints import (
    Checkpoints,
)
from trainables.training.saved_state import flatten_optimizer

CPU = torch.device("cpu")


def report(epoch: int, top1: float | None = None, rank: float | None = None) -> EpochReport:
    return EpochReport(epoch, 1.0 / epoch, 0.5, 100.0, top1, rank)


class Training:
    """A small model under Adam that saves after every step."""

    def __init__(self, directory: Path, *, keep: Keep = "best") -> None:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.checkpoints = Checkpoints(StoredDirectory(directory), keep=keep)
        self.history: tuple[EpochReport, ...] = ()

    def step(self) -> None:
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(len(self.history)))
        self.optimizer.zero_grad()
        self.model(x).square().sum().backward()
        self.optimizer.step()

    def epoch(self, top1: float | None = None, rank: float | None = None) -> None:
        self.step()
        self.history = (*self.history, report(len(self.history) + 1, top1, rank))
        self.checkpoints.save(self.history, self.model, self.optimizer)

    def end(self) -> None:
        """Save the last epoch again, as that of a training that is complete."""
        self.checkpoints.save(self.history, self.model, None)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return (
            {name: value.clone() for name, value in self.model.state_dict().items()},
            {name: value.clone() for name, value in flatten_optimizer(self.optimizer).items()},
        )


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
