"""Prepare a training: the model of an objective, its optimiser, and each subject's rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.compute.numerics import FAST, Numerics
from trainables.models.finetuned import FinetunedModel, build_model
from trainables.models.memory_layout import choose_layout
from trainables.models.temperature import LearnedTemperature
from trainables.models.tuning import Tuned, tune_backbone
from trainables.spec import Finetuned, SelfSupervised
from trainables.training.batches import TrainingData

TEMPERATURE_SPEED: Final = 100
"""The learning rate of a learned temperature's logarithm, in learning rates of the weights."""


@dataclass(frozen=True)
class Training:
    """A model under training, with each subject's data, rows to train on and held-out rows."""

    objective: Finetuned
    model: FinetunedModel
    optimizer: torch.optim.Optimizer
    subjects: tuple[TrainingData, ...]
    rows: tuple[Tensor, ...]
    held_out: tuple[Tensor, ...]
    tuned: Tuned
    """What of the backbone is tuned."""

    @classmethod
    def build(
        cls,
        objective: Finetuned,
        seed: int,
        backbone: nn.Module,
        subjects: Sequence[TrainingData],
        numerics: Numerics = FAST,
    ) -> "Training":
        """Build the model and its optimiser from an objective, on the device of the responses."""
        n_vertices = [data.responses.shape[1] for data in subjects]
        image_size = subjects[0].images.image_size
        model = build_model(objective, backbone, image_size, n_vertices, seed)
        model = model.to(subjects[0].responses.device)
        choose_layout(model.backbone, image_size, numerics)
        tuned = tune_backbone(model.backbone, objective.tune, image_size, seed)
        model.adapters = tuned.adapters
        optimizer = make_optimizer(model, objective.learning_rate)
        splits = [data.held_back(objective.validation) for data in subjects]
        rows, held_out = zip(*splits, strict=True)
        if isinstance(objective, SelfSupervised):  # nothing to retrieve without responses
            held_out = tuple(left[:0] for left in held_out)
        return cls(objective, model, optimizer, tuple(subjects), rows, held_out, tuned)


def make_optimizer(model: nn.Module, learning_rate: float) -> torch.optim.Adam:
    """Make Adam for a model's parameters that are not frozen.

    A learned temperature takes larger steps.
    """
    weights = [one for one in model.parameters() if one.requires_grad]
    groups: list[dict[str, Any]] = [{"params": weights}]
    temperature = getattr(model, "temperature", None)
    if isinstance(temperature, LearnedTemperature):
        others = [one for one in weights if one is not temperature.log]
        rate = TEMPERATURE_SPEED * learning_rate
        groups = [{"params": others}, {"params": [temperature.log], "lr": rate}]
    return torch.optim.Adam(groups, lr=learning_rate, fused=True)
