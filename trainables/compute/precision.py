"""Full float32 where a score is computed, and everywhere in a trial that is to be exact."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import torch

_BACKENDS: Final[Any] = torch.backends  # its operations are declared at run time only
_OPERATIONS: Final[tuple[Any, ...]] = (
    _BACKENDS.cuda.matmul,
    _BACKENDS.cudnn.conv,  # TF32 by default: 10 bits of mantissa
    _BACKENDS.mkldnn.matmul,
    _BACKENDS.mkldnn.conv,
)


_DETERMINISTIC: Final = ContextVar("deterministic", default=False)


def is_deterministic() -> bool:
    """Tell whether fast paths are not to be taken."""
    return _DETERMINISTIC.get()


@contextmanager
def deterministic_mode(deterministic: bool) -> Iterator[None]:
    """Where set, compute in full float32 by bitwise reproducible kernels, on no fast path.

    A kernel that torch has no repeatable version of is warned of, and used.
    """
    if not deterministic:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    was_lenient = torch.is_deterministic_algorithms_warn_only_enabled()
    token = _DETERMINISTIC.set(True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with full_float32():
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=was_lenient)
        _DETERMINISTIC.reset(token)


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
