"""The number formats that a backbone is fine-tuned in, on a GPU and, partly emulated, on a CPU."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch

from benchmarks.tf32 import EmulatedTF32
from trainables.spec import Trial


@dataclass(frozen=True)
class NumberFormat:
    """A number format: how a trial asks for it, and the context that emulates it."""

    name: str
    ask: Callable[[Trial], Trial]
    emulation: Callable[[], AbstractContextManager[object]] = nullcontext


def number_formats(device: torch.device) -> tuple[NumberFormat, ...]:
    """List the formats on a device; the first is float32, which others are compared with.

    A GPU multiplies in TF32 unless a trial is deterministic, the heads under bfloat16 too.
    """
    if device.type == "cuda":
        return (
            NumberFormat("float32", Trial.as_deterministic),
            NumberFormat("TF32", _unchanged),
            NumberFormat("bfloat16+TF32", _in_bfloat16),
        )
    return (
        NumberFormat("float32", _unchanged),
        NumberFormat("TF32", _unchanged, EmulatedTF32),
        NumberFormat("bfloat16", _in_bfloat16),
        NumberFormat("bfloat16+TF32", _in_bfloat16, EmulatedTF32),
    )


def _unchanged(trial: Trial) -> Trial:
    return trial


def _in_bfloat16(trial: Trial) -> Trial:
    return replace(trial, precision="bfloat16")
