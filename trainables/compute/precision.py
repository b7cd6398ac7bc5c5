"""torch's switches: full float32 for scores, and for everything in a deterministic trial."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from trainables.compute.numerics import Numerics

_BACKENDS: Final[Any] = torch.backends  # its operations are only declared at run time
_OPERATIONS: Final[tuple[Any, ...]] = (
    _BACKENDS.cuda.matmul,
    _BACKENDS.cudnn.conv,  # TF32 by default: 10 bits of mantissa
    _BACKENDS.mkldnn.matmul,
    _BACKENDS.mkldnn.conv,
)


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
    try:
        with full_float32():
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=was_lenient)


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute products and convolutions with all 24 bits within the block, then restore."""
    before = [operation.fp32_precision for operation in _OPERATIONS]
    for operation in _OPERATIONS:
        operation.fp32_precision = "ieee"
    try:
        yield
    finally:
        for operation, precision in zip(_OPERATIONS, before, strict=True):
            operation.fp32_precision = precision
