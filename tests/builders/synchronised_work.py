"""What process groups of one to three workers do in the tests of synchronised training."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from benchmarks.small_shards import plant
from trainables.data.images import ResidentImages
from trainables.exceptions import Abandoned, Diverged, ProcessGroupBroken, Stopped
from trainables.models.finetuned import FinetunedModel, build_model, embedder_of
from trainables.models.normalisation import normalise
from trainables.models.self_supervised import SelfSupervisedModel
from trainables.results.epoch_report import EpochReport
from trainables.spec import Contrastive, Pooled, Regression, SelfSupervised
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import Checkpoints
from trainables.training.distributed import (
    TrialProcessGroup,
)
from trainables.training.finetune import finetune
from trainables.training.synchronised import SharedModel

SIZES = (1, 2, 3)
CASES = [(25, torch.float32), (24, torch.float32), (7, torch.float64), (2, torch.float64)]
"""Images of a batch: uneven shares, even ones, and fewer images than workers.

Few images are left to float64: BatchNorm of a few rows divides by differences that may be small,
and so enlarges rounding.
"""
TRAINING = Pooled(
    learning_rate=1e-4,
    batch_size=21,
    epochs=3,
    hidden_dim=32,
    order="interleaved",
    validation=0.2,
)
OPTIONS = Contrastive(direction="both", temperature="learned", memory=20)
N_VERTICES = (30, 45)
TUNED = {tune: replace(TRAINING, tune=tune, epochs=1) for tune in ("from:8", "lora:2")}
"""Trainings of parts of the backbone: of its last layers, and of adapters."""


class Cast(nn.Module):
    """Compute in the precision of the layers that follow."""

    def __init__(self, like: nn.Conv2d) -> None:
        super().__init__()
        self.like = [like]

    def forward(self, x: Tensor) -> Tensor:
        return x.to(self.like[0].weight.dtype)


class Windows(nn.Module):
    """Cut each feature map into four rows of the batch, as attention over windows does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (2, -1)).unflatten(4, (2, -1)).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


class Together(nn.Module):
    """Put the windows of an image side by side again."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(0, (-1, 4)).transpose(1, 2).flatten(1)


def backbone() -> nn.Module:
    """Build a backbone with every layer that regards the batch: norms, dropouts, windows."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        return nn.Sequential(
            Cast(first),
            first,
            nn.BatchNorm2d(8),
            nn.ReLU(inplace=True),
            StochasticDepth(0.2, "row"),
            nn.Dropout2d(0.2),
            Windows(),
            nn.BatchNorm2d(8, momentum=None),
            nn.Dropout(0.3),
            nn.AdaptiveAvgPool2d(2),
            Together(),
            nn.Linear(128, 32),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(32, 10),
        )


def models(dtype: torch.dtype) -> dict[str, FinetunedModel]:
    built = {
        "contrastive": build_model(Contrastive(), backbone(), 16, N_VERTICES[1:2], seed=0),
        "regression": build_model(Regression(), backbone(), 16, N_VERTICES[1:2], seed=0),
        "pooled": build_model(Pooled(), backbone(), 16, N_VERTICES, seed=0),
        "options": build_model(OPTIONS, backbone(), 16, N_VERTICES[1:2], seed=0),
        "simclr": build_model(SelfSupervised(), backbone(), 16, N_VERTICES[1:2], seed=0),
    }
    return {name: model.to(dtype) for name, model in built.items()}


def batch(n: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)
    return images, torch.randn(n, N_VERTICES[1], generator=generator).to(dtype)


def seen_by(model: FinetunedModel, images: Tensor) -> Tensor:
    """Return the images, or two views of each: itself and its mirror image."""
    if not isinstance(model, SelfSupervisedModel):
        return images
    return torch.stack([images, images.flip(-1)], dim=1).flatten(0, 1)


def state(model: nn.Module, loss: Tensor) -> dict[str, Tensor | None]:
    return {
        "loss": loss.detach(),
        **{name: p.grad for name, p in model.named_parameters()},
        **dict(model.named_buffers()),
    }


def plain(model: FinetunedModel, n: int, dtype: torch.dtype) -> dict[str, Tensor | None]:
    """Take a step as a single process does that knows of no process group."""
    images, responses = batch(n, dtype)
    torch.manual_seed(5)
    embedder = embedder_of(model.train(), 1)
    seen = seen_by(model, images)
    loss = embedder.compare(embedder.embed_images(seen), embedder.embed_responses(responses))
    loss.backward()
    return state(model, loss)


def shared(process_group: TrialProcessGroup) -> dict[str, Any]:
    """Take the same steps as one worker of a process group."""
    found: dict[str, Any] = {}
    for n, dtype in CASES:
        for name, model in models(dtype).items():
            images, responses = batch(n, dtype)
            own, names = process_group.share(n), list(model.state_dict())
            torch.manual_seed(5)
            pair = SharedModel(process_group, model.train())
            with pair.synchronised():
                seen = seen_by(model, images[own])
                loss = pair.loss(embedder_of(model, 1), seen, responses[own], n)
                loss.backward()
                pair.sum_gradients()
                step = {"state": state(model, loss), "names": list(model.state_dict()) == names}
            changed = [module for module in model.modules() if "forward" in module.__dict__]
            logits = model.eval().backbone(normalise(images)).detach()
            step |= {"restored": not changed, "draws": torch.rand(1), "logits": logits}
            found[f"{name} {n} {dtype}"] = step
    return found


def complain(process_group: TrialProcessGroup, who: int, error: type[Exception]) -> None:
    if process_group.rank == who:
        raise error("no")


def caught(call: Any) -> str:
    try:
        call()
    except (Abandoned, ProcessGroupBroken, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def agree(process_group: TrialProcessGroup) -> dict[str, Any]:
    """Go through what a process group decides together."""
    found: dict[str, Any] = {}
    found["decided"] = process_group.decide(lambda: f"by {process_group.rank}")
    found["failed decision"] = caught(
        lambda: process_group.decide(lambda: complain(process_group, 0, ValueError))
    )
    found["together"] = process_group.together(lambda: process_group.rank)
    for who in range(process_group.size):
        found[f"failed {who}"] = caught(
            lambda who=who: process_group.together(lambda: complain(process_group, who, ValueError))
        )
    found["differ"] = caught(lambda: process_group.check_same(process_group.rank, "rank"))
    found["same"] = caught(lambda: process_group.check_same(7, "seven"))
    found["sum"] = (
        process_group.sum(torch.tensor([process_group.rank + 1.0]))
        if process_group.size > 1
        else None
    )
    return found


def subjects() -> list[TrainingData]:
    data = []
    for seed, n_vertices in enumerate(N_VERTICES):
        images, responses = plant(53 + seed, 16, n_vertices, np.random.default_rng(seed))
        resident = ResidentImages(torch.from_numpy(images))
        rows = torch.arange(len(images))
        data.append(TrainingData(resident, torch.from_numpy(responses), rows))
    return data


def train(
    process_group: TrialProcessGroup,
    directory: Path,
    stop_after: int | None = None,
    objective: Pooled = TRAINING,
) -> dict[str, Any]:
    """Train as one worker of a process group; return its logits and history, or how it ended."""
    network, heard = backbone(), []

    def report(epoch: EpochReport) -> bool:
        heard.append(epoch.epoch)
        return epoch.epoch != stop_after

    try:
        history = finetune(
            objective,
            0,
            network,
            subjects(),
            Checkpoints(StoredDirectory(directory)),
            report,
            process_group=process_group,
        )
    except Stopped as stopped:
        return {"stopped": [one.epoch for one in stopped.history], "heard": heard}
    measured = [(one.epoch, one.loss, one.retrieval_top1) for one in history]
    weights = {name: one.detach() for name, one in network.state_dict().items()}
    logits = network.eval()(normalise(subjects()[0].images.tensor)).detach()
    # Their mean takes no part in the loss: BatchNorm removes it, so rounding alone moves it.
    return {
        "logits": logits - logits.mean(dim=0),
        "history": measured,
        "heard": heard,
        "weights": weights,
    }


def diverge(process_group: TrialProcessGroup, directory: Path) -> str:
    """Train on a response that is no number, which one worker has in its rows."""
    data = subjects()
    data[1].responses[4, 0] = float("nan")
    try:
        finetune(
            TRAINING,
            0,
            backbone(),
            data,
            Checkpoints(StoredDirectory(directory)),
            lambda report: True,
            process_group=process_group,
        )
    except Diverged as error:
        return str(error)
    return "nothing"


@dataclass
class AllWork:
    """All kinds of work, in the same processes."""

    home: Path

    def __call__(self, process_group: TrialProcessGroup) -> dict[str, Any]:
        of = f"group-of-{process_group.size}"
        parts = TUNED if process_group.size <= 2 else {}  # peft takes each process seconds
        return {
            "steps": shared(process_group),
            "agreed": agree(process_group),
            "trained": train(process_group, self.home / of),
            "stopped": train(process_group, self.home / f"{of}-stopped", stop_after=1),
            # What a single worker left half trained: process groups of one come first.
            "resumed": train(process_group, self.home / f"left-for-{process_group.size}"),
            **{
                tune: train(process_group, self.home / f"{of}-{tune}", objective=objective)
                for tune, objective in parts.items()
            },
            "diverged": diverge(process_group, self.home / f"{of}-diverged"),
        }
