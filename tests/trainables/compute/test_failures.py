"""Kinds of error: by type, whatever an error's text says, and by text only where no type tells."""

import traceback

import pytest
import torch

from trainables.compute.failures import device_failure, failure_of, kind_of
from trainables.exceptions import Diverged, OutOfMemory, ProcessGroupBroken, WorkerLost


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out-of-memory"),
        (MemoryError(), "out-of-memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8"), "out-of-memory"),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "out-of-memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out-of-memory"),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED"), "out-of-memory"),
        (RuntimeError("CUDA driver error: out of memory"), "out-of-memory"),
        (RuntimeError("cuda call failed: cudaErrorMemoryAllocation"), "out-of-memory"),
        (torch.AcceleratorError("CUDA error: out of memory"), "out-of-memory"),
        (
            RuntimeError("FIND was unable to find an engine to execute this computation"),
            "out-of-memory",
        ),
        (RuntimeError("Unable to find a valid cuDNN algorithm to run"), "out-of-memory"),
        (RuntimeError("NCCL error: Cuda failure 2 'out of memory'"), "out-of-memory"),
        (RuntimeError("NCCL Error 1: unhandled cuda error"), "device"),
        (torch.linalg.LinAlgError("cusolver error: CUSOLVER_STATUS_INVALID_VALUE"), None),
        (RuntimeError("CUDA error: unspecified launch failure"), "device"),
        (RuntimeError("cusolver error: CUSOLVER_STATUS_INTERNAL_ERROR"), "device"),
        (RuntimeError("CUDA driver error: device not ready"), "device"),
        (torch.AcceleratorError("an illegal memory access was encountered"), "device"),
        (RuntimeError("CUDA error: device-side assert triggered"), "device"),
        (RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"), "device"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), None),
        (ValueError("CUDA error: out of memory"), None),
        (OutOfMemory("out of memory on a GPU, even with 8 images at a time"), None),
    ],
    ids=str,
)
def test_which_errors_are_a_device_s(error: Exception, expected: str | None) -> None:
    assert device_failure(error) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Diverged("the loss is not a number"), "diverged"),
        (FloatingPointError("divide by zero"), "unexpected"),
        (OutOfMemory("nothing fits"), "out-of-memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out-of-memory"),
        (RuntimeError("CUDA error: an illegal memory access"), "device"),
        (WorkerLost("gone"), "worker-lost"),
        (ProcessGroupBroken("worker 1: CUDA error"), "worker-lost"),
        (ValueError("subj01.parquet: FloatingPointError, CUDA, QueueLost"), "input"),
        (FileNotFoundError("weights.pt"), "input"),
        (RuntimeError("a defect"), "unexpected"),
        (KeyError("a defect"), "unexpected"),
    ],
    ids=str,
)
def test_an_error_is_of_one_kind_by_its_type(error: Exception, expected: str) -> None:
    assert kind_of(error) == expected


@pytest.mark.parametrize("is_initialised", [True, False])
@pytest.mark.parametrize("is_broken", [True, False])
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out-of-memory"),
        (ValueError("no rows"), "input"),
        (KeyError("a defect"), "unexpected"),
    ],
    ids=str,
)
def test_a_broken_cuda_context_is_found_behind_any_error(
    monkeypatch, error, kind, is_broken, is_initialised
) -> None:
    def synchronize() -> None:
        if is_broken or not is_initialised:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: is_initialised)
    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    expected = "device" if is_initialised and is_broken else kind
    assert failure_of(error).kind == expected


def test_a_failure_holds_the_kind_and_the_traceback() -> None:
    try:
        raise Diverged("the loss is not a number in epoch 2")
    except Diverged as error:
        failure = failure_of(error)
        expected = "".join(traceback.format_exception(error))
    assert failure.kind == "diverged"
    assert failure.message == expected
    assert failure.message.startswith("Traceback")
    assert failure.message.strip().endswith("Diverged: the loss is not a number in epoch 2")
