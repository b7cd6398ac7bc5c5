"""Classify exceptions: by type, and by text for device errors that have no type of their own."""

import traceback
from typing import Final, Literal

import torch

from trainables.exceptions import (
    DiskFull,
    Diverged,
    ErrorKind,
    Failure,
    OutOfMemory,
    ProcessGroupBroken,
)

_NO_MEMORY: Final = (
    "can't allocate memory",  # torch's allocator of a CPU
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
_BROKEN: Final = ("CUDA error", "CUBLAS_STATUS_", "CUDNN_STATUS_", "cuDNN error", "NCCL error")


def device_failure(error: BaseException) -> Literal["out-of-memory", "device"] | None:
    """Classify an error as out of memory or a failed device; return None for other errors.

    torch raises a plain RuntimeError for many of these, distinguishable only by its text. No other
    function does so, except for safetensors' errors of a file (``storage.tensor_files``).
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out-of-memory"
    if not isinstance(error, RuntimeError):
        return None
    text = str(error)
    if any(sign in text for sign in _NO_MEMORY):
        return "out-of-memory"
    is_broken = isinstance(error, torch.AcceleratorError) or any(sign in text for sign in _BROKEN)
    return "device" if is_broken else None


def kind_of(error: BaseException) -> ErrorKind:
    """Return the kind of an error that ended a trial."""
    if isinstance(error, Diverged):
        return "diverged"
    if isinstance(error, OutOfMemory):
        return "out-of-memory"
    if isinstance(error, ProcessGroupBroken):
        return "worker-lost"
    if isinstance(error, DiskFull):
        return "disk-full"
    if isinstance(error, ValueError | OSError):
        return "input"
    return device_failure(error) or "unexpected"


def failure_of(error: Exception) -> Failure:
    """Describe an error that ended a trial, with its traceback."""
    return Failure(kind_of(error), "".join(traceback.format_exception(error)))
