"""Networks that are built without initial values, because all their weights are read from a file.

Drawing AlexNet's 61 million initial values takes longer than reading its weights.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn


def build_weightless(build: Callable[[], nn.Module]) -> nn.Module:
    """Build a network on the device ``meta``, if a state dict then gives it all that it holds.

    Others are built with initial values on the CPU: those that share a parameter between modules,
    or hold a tensor that is no part of the state dict.
    """
    try:
        with torch.device("meta"):
            network = build()
    except RuntimeError:  # it computes with values when it is built
        return build()
    return network if _is_whole(network) else build()


def _is_whole(network: nn.Module) -> bool:
    """Return whether a state dict holds each tensor of a network, and each once."""
    named = [
        *network.named_parameters(remove_duplicate=False),
        *network.named_buffers(remove_duplicate=False),
    ]
    is_single = len({id(value) for _, value in named}) == len(named)
    attributes = (value for module in network.modules() for value in vars(module).values())
    has_others = any(isinstance(value, Tensor) for value in attributes)
    return is_single and not has_others and {name for name, _ in named} == set(network.state_dict())


def put_weights(network: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Load a state that fits a network, which may be on ``meta``, and return the network.

    A network on ``meta`` takes the tensors themselves, except those that share their memory.
    """
    if not any(value.is_meta for value in network.state_dict().values()):
        network.load_state_dict(state)
        return network
    network.load_state_dict(_separate(state), assign=True)
    return network


def _separate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy the tensors that are part of a larger memory, or of one seen before."""
    seen: set[int] = set()
    own: dict[str, Tensor] = {}
    for name, value in state.items():
        memory = value.untyped_storage()
        is_alone = memory.nbytes() == value.nbytes and memory.data_ptr() not in seen
        seen.add(memory.data_ptr())
        own[name] = value if is_alone else value.clone()
    return own
