"""TF32 emulated on a CPU: float32 products and convolutions of rounded factors.

A GPU that multiplies float32 in TF32 keeps 10 of the 23 explicit bits of mantissa of each factor,
multiplies these exactly, and sums in float32. Here factors are rounded to the nearest such number
and multiplied in float32, in which their products are exact; sums are in the CPU's order. Which
operations are emulated when follows torch's switches for GPUs, so that a trial computes in TF32
in the phases in which it would on a GPU.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_DROPPED: Final = 13
"""Bits of mantissa that TF32 lacks: float32 has 23, TF32 10."""
_HALF: Final = (1 << (_DROPPED - 1)) - 1
_KEPT: Final = -1 << _DROPPED
_aten: Final[Any] = torch.ops.aten
_PRODUCTS: Final[Mapping[Any, Sequence[int]]] = {
    _aten.mm.default: (0, 1),
    _aten.bmm.default: (0, 1),
    _aten.addmm.default: (1, 2),
    _aten.baddbmm.default: (1, 2),
}
"""Matrix products, with the positions of their factors among the arguments."""
_CONVOLUTION: Final[Any] = _aten.convolution.default
_BACKWARD: Final[Any] = _aten.convolution_backward.default


class EmulatedTF32(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within this context, round the factors of float32 products and convolutions to TF32.

    Backward passes are included. Only where torch's switches of GPUs say ``tf32``: those of
    products (``cuda.matmul``) and those of convolutions (``cudnn.conv``) by themselves. Fused
    kernels of attention are not emulated.

    n_rounded: how many operations of each name had their factors rounded.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.n_rounded: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the operation, with rounded factors if it is one that a GPU would do in TF32."""
        factors = _factors(func)
        if not factors or any(args[i].dtype != torch.float32 for i in factors):
            return func(*args, **(kwargs or {}))
        self.n_rounded[func.overloadpacket.__name__] += 1
        rounded = [
            round_to_tf32(one) if position in factors else one for position, one in enumerate(args)
        ]
        if func is _BACKWARD:
            return _convolution_backward(func, args, rounded)
        return func(*rounded, **(kwargs or {}))


def round_to_tf32(x: Tensor) -> Tensor:
    """Round float32 values to the nearest with 10 explicit bits of mantissa, ties to even.

    Beyond the largest such number is infinity; infinities and NaN stay.
    """
    bits = x.view(torch.int32)
    last_kept = (bits >> _DROPPED) & 1
    rounded = ((bits + (last_kept + _HALF)) & _KEPT).view(torch.float32)
    return torch.where(x.isnan(), x, rounded)


def truncate_to_tf32(x: Tensor) -> Tensor:
    """Round float32 values to 10 explicit bits of mantissa towards zero."""
    return (x.view(torch.int32) & _KEPT).view(torch.float32)


def _factors(func: Any) -> Sequence[int]:
    """Return the positions of an operation's factors; none if it is not in TF32 now."""
    backends: Any = torch.backends
    if func in _PRODUCTS:
        return _PRODUCTS[func] if backends.cuda.matmul.fp32_precision == "tf32" else ()
    if func in (_CONVOLUTION, _BACKWARD) and backends.cudnn.conv.fp32_precision == "tf32":
        return (0, 1) if func is _CONVOLUTION else (0, 1, 2)
    return ()


def _convolution_backward(
    func: Callable[..., tuple[Tensor | None, Tensor | None, Tensor | None]],
    args: Sequence[Any],
    rounded: Sequence[Any],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of a convolution; that of the bias is a sum, of unrounded gradients."""
    *others, (wants_input, wants_weight, wants_bias) = rounded
    of_input, of_weight, _ = func(*others, (wants_input, wants_weight, False))
    gradient: Tensor = args[0]
    summed = [axis for axis in range(gradient.ndim) if axis != 1]
    return of_input, of_weight, gradient.sum(summed) if wants_bias else None
