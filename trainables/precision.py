"""Full float32 where a score is computed, whatever fast modes training has switched on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

_BACKENDS: Final[Any] = torch.backends  # its operations are declared at run time only
_OPERATIONS: Final[tuple[Any, ...]] = (
    _BACKENDS.cuda.matmul,
    _BACKENDS.cudnn.conv,  # TF32 by default: 10 bits of mantissa
    _BACKENDS.mkldnn.matmul,
    _BACKENDS.mkldnn.conv,
)


@contextmanager
def full_float32() -> Iterator[None]:
    """Compute products and convolutions with all 24 bits, and put back what was set before."""
    before = [operation.fp32_precision for operation in _OPERATIONS]
    for operation in _OPERATIONS:
        operation.fp32_precision = "ieee"
    try:
        yield
    finally:
        for operation, precision in zip(_OPERATIONS, before, strict=True):
            operation.fp32_precision = precision
