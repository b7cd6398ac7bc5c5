"""The device of a worker's process: the GPU that Ray has assigned to it, or else the CPU."""

import os
from typing import TYPE_CHECKING

import ray

if TYPE_CHECKING:
    import torch


def use_assigned_device() -> "torch.device":
    """Make the device that Ray has assigned torch's current one, and return it."""
    import torch

    device = assigned_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def assigned_device() -> "torch.device":
    """Return the first GPU that Ray has assigned to this process, or else the CPU.

    Ray hides no GPUs from a process that has been assigned none. Raises ValueError if the GPU is
    not in CUDA_VISIBLE_DEVICES.
    """
    import torch

    gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
    if not gpus:
        return torch.device("cpu")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if gpus[0] not in visible:
        raise ValueError(
            f"Ray has assigned GPU {gpus[0]} to this process, but CUDA_VISIBLE_DEVICES is "
            f"{','.join(visible)!r}; unset RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES on its node"
        )
    return torch.device("cuda", visible.index(gpus[0]))
