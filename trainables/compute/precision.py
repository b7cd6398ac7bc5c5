"""torch's switches: full float32 for scores, and for a deterministic trial; else fast kernels.

On a GPU, fine-tuning multiplies and convolves float32 in TF32, which keeps 10 bits of mantissa of
each factor and sums in float32. Scores, and everything in a deterministic trial, have all 24 bits.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Final

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainables.compute.device import uses_cuda
from trainables.compute.numerics import Numerics

_BACKENDS: Final[Any] = torch.backends  # its operations are only declared at run time
_OPERATIONS: Final[tuple[Any, ...]] = (
    _BACKENDS.cuda.matmul,
    _BACKENDS.cudnn.conv,  # TF32 by default: 10 bits of mantissa
    _BACKENDS.cudnn.rnn,
    _BACKENDS.mkldnn.matmul,
    _BACKENDS.mkldnn.conv,
    _BACKENDS.mkldnn.rnn,
)
_OF_GPU: Final[tuple[Any, ...]] = _OPERATIONS[:3]


@contextmanager
def torch_set_for(numerics: Numerics) -> Iterator[None]:
    """Set torch's process-wide switches for numerics within the block, then restore them.

    A kernel without a deterministic version in torch is used with a warning.
    """
    if not numerics.deterministic:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    was_lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # torch's other kernels of attention sum gradients in any order where warn_only is set.
    attention = sdpa_kernel(SDPBackend.MATH) if uses_cuda() else nullcontext()
    try:
        with full_float32(), attention:
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=was_lenient)


@contextmanager
def torch_set_for_training(numerics: Numerics) -> Iterator[None]:
    """Let fine-tuning on a GPU use TF32 and the convolutions that cuDNN measures to be fastest.

    Within the block; nothing changes on a CPU, or for deterministic numerics.
    """
    if numerics.deterministic:
        yield
        return
    measured = _BACKENDS.cudnn.benchmark
    _BACKENDS.cudnn.benchmark = True
    try:
        with _set_to("tf32", _OF_GPU):
            yield
    finally:
        _BACKENDS.cudnn.benchmark = measured


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute products and convolutions with all 24 bits within the block, then restore."""
    with _set_to("ieee", _OPERATIONS):
        yield


@contextmanager
def tf32_products() -> Iterator[None]:
    """Multiply float32 matrices of a GPU in TF32 within the block, then restore."""
    with _set_to("tf32", _OPERATIONS[:1]):
        yield


@contextmanager
def _set_to(precision: str, operations: tuple[Any, ...]) -> Iterator[None]:
    before = [operation.fp32_precision for operation in operations]
    for operation in operations:
        operation.fp32_precision = precision
    try:
        yield
    finally:
        for operation, one in zip(operations, before, strict=True):
            operation.fp32_precision = one
