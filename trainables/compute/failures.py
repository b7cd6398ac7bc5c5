"""Classify exceptions: by type, and by text for device errors that have no type of their own."""

import traceback
from typing import Final, Literal

import torch

from trainables.compute.device import uses_cuda
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
    "CUDA driver error: out of memory",  # of expandable segments
    "cudaErrorMemoryAllocation",
    "Cuda failure 2 'out of memory'",  # of NCCL
    "_STATUS_ALLOC_FAILED",  # of cuBLAS, cuDNN, cuSOLVER and cuSPARSE
    # No convolution of cuDNN has the memory that it works in; torch hides the error of each.
    "unable to find an engine to execute this computation",
    "Unable to find a valid cuDNN algorithm",
)
_BROKEN: Final = (
    "CUDA error",
    "CUDA driver error",
    "CUBLAS_STATUS_",
    "CUDNN_STATUS_",
    "CUSOLVER_STATUS_",
    "CUSPARSE_STATUS_",
    "cuDNN error",
    "NCCL error",
    "NCCL Error",
)


def device_failure(error: BaseException) -> Literal["out-of-memory", "device"] | None:
    """Classify an error as out of memory or a failed device; return None for other errors.

    torch raises a plain RuntimeError for many of these, distinguishable only by its text. No other
    function does so, except for safetensors' errors of a file (``storage.tensor_files``).
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "out-of-memory"
    if isinstance(error, torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        return None  # a matrix without a factorisation: the text may name the GPU's library
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


def is_device_lost() -> bool:
    """Return whether this process can't use its GPU any more; False if it has used none.

    An invalid memory access or a failed assertion of a kernel breaks the process's CUDA context:
    every later call fails, whatever the error was that ended the trial.
    """
    if not uses_cuda():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def failure_of(error: Exception) -> Failure:
    """Describe an error that ended a trial, with its traceback.

    Its kind is ``device`` if the process has to end, because its GPU can't be used any more.
    """
    kind = "device" if is_device_lost() else kind_of(error)
    return Failure(kind, "".join(traceback.format_exception(error)))
