"""What checkpoints hold of a training: the weights, and what else it is resumed from."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from trainables.models.adapters import Adapters
from trainables.models.memory_layout import restride

BACKBONE_PREFIX: Final = "backbone."
"""Start of the names of a backbone's weights, in the state of the model that is trained."""
ADAPTER_PREFIX: Final = "adapter."
"""Start of the names of adapters' matrices, beside the optimiser's state."""


def adapters_of(model: nn.Module) -> Adapters | None:
    """Return the adapters of a model's backbone, if a part of it is tuned so."""
    found: Adapters | None = getattr(model, "adapters", None)
    return found


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a model's state dict, with adapters merged into the weights of its backbone."""
    adapters = adapters_of(model)
    if adapters is None:
        return dict(model.state_dict())
    others = {n: v for n, v in model.state_dict().items() if not n.startswith(BACKBONE_PREFIX)}
    merged = {f"{BACKBONE_PREFIX}{name}": value for name, value in adapters.merged().items()}
    return {**merged, **others}


def progress_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state, and the matrices of adapters if there are any."""
    adapters = adapters_of(model)
    matrices = {} if adapters is None else adapters.state()
    return {
        **flatten_optimizer(optimizer),
        **{f"{ADAPTER_PREFIX}{name}": value for name, value in matrices.items()},
    }


def restore(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, Tensor],
    progress: Mapping[str, Tensor] | None,
) -> None:
    """Load what :func:`weights_of` and :func:`progress_of` returned.

    progress: None if the training is complete; adapters are then removed.
    """
    adapters = adapters_of(model)
    if adapters is None:
        model.load_state_dict(weights)
    elif progress is None:
        own = {n: v for n, v in weights.items() if n.startswith(BACKBONE_PREFIX)}
        adapters.unload({name.removeprefix(BACKBONE_PREFIX): v for name, v in own.items()})
        model.load_state_dict(weights)
    else:  # the weights that are adapted are those that the training started from
        others = {n: v for n, v in weights.items() if not n.startswith(BACKBONE_PREFIX)}
        model.load_state_dict(others, strict=False)
        own = {n: v for n, v in progress.items() if n.startswith(ADAPTER_PREFIX)}
        adapters.load({name.removeprefix(ADAPTER_PREFIX): v for name, v in own.items()})
    if progress is not None:
        of_optimizer = {n: v for n, v in progress.items() if not n.startswith(ADAPTER_PREFIX)}
        restore_optimizer(optimizer, of_optimizer)


def merge_adapters(model: nn.Module) -> None:
    """Merge adapters into the backbone after training, so that it is a plain one again."""
    adapters = adapters_of(model)
    if adapters is not None:
        adapters.unload(adapters.merged())


def flatten_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Flatten an optimiser's state to tensors named ``{parameter number}.{name}``."""
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{i}.{name}": value for i, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Load a state that :func:`flatten_optimizer` made into an optimiser.

    Moments take the memory layout of their parameters, as fused steps require.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split(".", 1)
        state.setdefault(int(number), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            values[name] = restride(value, parameter)
