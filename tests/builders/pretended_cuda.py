"""A GPU without one: tensors that compute on the CPU and say that they are on ``cuda:0``.

Within :func:`pretended_cuda` the device ``cuda`` works. Values are real; ``device``, ``is_cuda``
and ``numpy()`` answer as those of a GPU's tensor; operations that mix devices raise; and whatever
makes the host wait for the device is counted by the line of the project that asked for it. Only
calls from Python are seen: neither kernels, nor their memory, nor NCCL.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CUDA: Final = torch.device("cuda", 0)
CPU: Final = torch.device("cpu")
FREE, TOTAL = 140 * 10**9, 141 * 10**9
PACKAGES: Final = ("/trainables/", "/orchestrator/", "/benchmarks/")


class MixedDevicesError(RuntimeError):
    """An operation whose tensors CUDA refuses together."""


@dataclass
class Record:
    """What made the host wait for the device, by (what, file:line of the project)."""

    waits: Counter[tuple[str, str]] = field(default_factory=Counter)

    def wait(self, what: str) -> None:
        self.waits[what, _caller()] += 1

    def kinds(self, part_of_path: str = "") -> Counter[str]:
        """Count the waits of lines whose path contains a string, by kind."""
        counts: Counter[str] = Counter()
        for (what, where), n in self.waits.items():
            if part_of_path in where:
                counts[what] += n
        return counts


_RECORD = Record()


def _caller() -> str:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        part = next((part for part in PACKAGES if part in path), None)
        if part and "/tests/" not in path and "site-packages" not in path:
            return f"{path[path.rindex(part) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


class OnGpu(Tensor):
    """A tensor of the CPU that says that it is on the GPU."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


class _Mode(TorchFunctionMode):
    """Sees the calls without a tensor of the GPU among their arguments: factories and copies."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return _call(func, args, kwargs or {})


def _call(func, args, kwargs):
    with torch._C.DisableTorchFunction():
        return _SPECIAL.get(func, _compute)(func, args, kwargs)


def _is_on_gpu(value: Any) -> bool:
    return isinstance(value, OnGpu)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _on_gpu(value: Any) -> Any:
    """Let the tensors of a result say that they are on the GPU."""
    if isinstance(value, Tensor):
        return value if _is_on_gpu(value) else value.as_subclass(OnGpu)
    if isinstance(value, (list, tuple)) and any(True for _ in _tensors(value)):
        parts = [_on_gpu(one) for one in value]
        if type(value) in (list, tuple):
            return type(value)(parts)
        if hasattr(value, "_make"):
            return type(value)(*parts)
        return type(value)(tuple(parts))  # of torch.return_types
    return value


def _on_host(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor).clone()


def _compute(func, args, kwargs):
    """Compute on the CPU; the result is on the GPU if a tensor or the keyword ``device`` is."""
    kwargs = {name: value for name, value in kwargs.items() if name != "pin_memory"}
    asked = None if kwargs.get("device") is None else torch.device(kwargs["device"])
    if asked is not None:
        kwargs["device"] = CPU
    given = list(_tensors((args, kwargs)))
    on_gpu = any(map(_is_on_gpu, given))
    if on_gpu and func not in _MAY_MIX:
        if any(not _is_on_gpu(one) and one.dim() > 0 for one in given):
            raise MixedDevicesError(f"{getattr(func, '__name__', func)}: tensors on cuda:0 and cpu")
        if func in _OF_UNKNOWN_SIZE:
            _RECORD.wait("size")
    goes_to_gpu = asked.type == "cuda" if asked is not None else on_gpu
    generator = kwargs.get("generator")
    if goes_to_gpu and generator is not None and generator.device.type == "cpu":
        raise MixedDevicesError("a generator of the CPU draws no numbers on the GPU")
    data = args[-1] if func is T.new_tensor and len(args) > 1 else args[0] if args else None
    if goes_to_gpu and func in _FROM_HOST and not _is_on_gpu(data):
        _RECORD.wait("to device")
    result = func(*args, **kwargs)
    return _on_gpu(result) if goes_to_gpu else result


def _move(func, args, kwargs):
    """Stand for ``Tensor.to``, whose device is a keyword, the first argument, or a tensor's."""
    tensor, *rest = args
    kwargs = dict(kwargs)
    target = kwargs.pop("device", None)
    like = kwargs.pop("other", None)
    if rest and isinstance(rest[0], Tensor):
        like = rest.pop(0)
    elif rest and isinstance(rest[0], (str, int, torch.device)) and not isinstance(rest[0], bool):
        target = rest.pop(0)
    elif rest and rest[0] is None:
        rest.pop(0)
    if like is not None:
        target, rest = (CUDA if _is_on_gpu(like) else CPU), [like.dtype, *rest]
    names = ("dtype", "non_blocking", "copy")
    start = 0 if (rest and isinstance(rest[0], torch.dtype)) or len(rest) > 2 else 1
    kwargs = dict(zip(names[start:], rest, strict=False)) | kwargs
    was_on_gpu = _is_on_gpu(tensor)
    is_to_gpu = was_on_gpu if target is None else torch.device(target).type == "cuda"
    is_blocking = not kwargs.pop("non_blocking", False)
    result = func(tensor, **kwargs) if kwargs else tensor
    if is_to_gpu == was_on_gpu:
        return _on_gpu(result) if was_on_gpu else result
    if is_to_gpu:
        if is_blocking:
            _RECORD.wait("to device")
        return _on_gpu(result.clone() if result is tensor else result)
    _RECORD.wait("to host")
    return _on_host(result)


def _index(func, args, kwargs):
    """Stand for reading and writing by index; some indices are copied, or counted by the host."""
    target, index, *values = args
    is_on_gpu = _is_on_gpu(target)
    parts = index if isinstance(index, tuple) else (index,)
    for one in _tensors(parts):
        if _is_on_gpu(one) and not is_on_gpu:
            raise MixedDevicesError("an index on cuda:0 of a tensor on cpu")
        if is_on_gpu and not _is_on_gpu(one) and one.dim() > 0:
            _RECORD.wait("to device")
        if is_on_gpu and one.dtype == torch.bool:
            _RECORD.wait("size")
    if is_on_gpu and any(isinstance(one, (list, np.ndarray)) for one in parts):
        _RECORD.wait("to device")
    for value in _tensors(values):
        if value.dim() > 0 and _is_on_gpu(value) != is_on_gpu:
            _RECORD.wait("to device" if is_on_gpu else "to host")
    result = func(*args, **kwargs)
    return _on_gpu(result) if is_on_gpu else result


def _copy_in(func, args, kwargs):
    is_blocking = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
    if _is_on_gpu(args[0]) != _is_on_gpu(args[1]) and is_blocking:
        _RECORD.wait("to device" if _is_on_gpu(args[0]) else "to host")
    return func(*args, **kwargs)


def _read(func, args, kwargs):
    if _is_on_gpu(args[0]):
        _RECORD.wait("number")
    return func(*args, **kwargs)


def _as_array(func, args, kwargs):
    if _is_on_gpu(args[0]):
        raise TypeError("can't convert cuda:0 device type tensor to numpy; use Tensor.cpu() first")
    return func(*args, **kwargs)


def _answer(on_gpu: Any) -> Callable[..., Any]:
    def answer(func, args, kwargs):
        return on_gpu if _is_on_gpu(args[0]) else func(*args, **kwargs)

    return answer


T = Tensor
_SPECIAL: Final[dict[Any, Callable[..., Any]]] = {
    T.device.__get__: _answer(CUDA),  # type: ignore[attr-defined]
    T.is_cuda.__get__: _answer(True),  # type: ignore[attr-defined]
    T.is_cpu.__get__: _answer(False),  # type: ignore[attr-defined]
    T.get_device: _answer(0),
    T.to: _move,
    T.cpu: lambda func, args, kwargs: _move(T.to, (args[0], CPU), {}),
    T.cuda: lambda func, args, kwargs: _move(T.to, (args[0], CUDA), {}),
    T.numpy: _as_array,
    T.__array__: _as_array,
    T.copy_: _copy_in,
    T.__getitem__: _index,
    T.__setitem__: _index,
    T.pin_memory: lambda func, args, kwargs: args[0],
    torch._has_compatible_shallow_copy_type: lambda func, args, kwargs: (
        _is_on_gpu(args[0]) == _is_on_gpu(args[1])
    ),
    **dict.fromkeys((T.item, T.tolist, T.__bool__, T.__float__, T.__int__, T.__index__), _read),
    **dict.fromkeys((T.is_nonzero, T.__contains__, T.equal, torch.equal, torch.allclose), _read),
}
_OF_UNKNOWN_SIZE: Final = {
    *(T.nonzero, torch.nonzero, T.unique, torch.unique, torch.unique_consecutive),
    *(T.masked_select, torch.masked_select, torch.bincount, torch.repeat_interleave),
}
_FROM_HOST: Final = {torch.tensor, torch.as_tensor, T.new_tensor}
_MAY_MIX: Final = {
    *(T.type_as, T.set_, T.is_set_to, T.is_same_size, T.new_tensor),
    *(T.grad.__set__, T.data.__set__),  # type: ignore[attr-defined]
}

_PATCHES: Final[dict[str, Any]] = {
    "torch.cuda.is_available": lambda: True,
    "torch.cuda.current_device": lambda: 0,
    "torch.cuda.mem_get_info": lambda device=None: (FREE, TOTAL),
    "torch.cuda.get_per_process_memory_fraction": lambda device=None: 1.0,
    "torch.cuda.memory_reserved": lambda device=None: 0,
    "torch.cuda.memory_allocated": lambda device=None: 0,
    "torch.cuda.max_memory_allocated": lambda device=None: 0,
    "torch.cuda.reset_peak_memory_stats": lambda device=None: None,
    "torch.cuda.empty_cache": lambda: None,
    "torch.cuda.synchronize": lambda device=None: None,
    "torch.cuda.get_device_name": lambda device=None: "a pretended GPU",
    "torch.cuda.get_device_capability": lambda device=None: (9, 0),
    "torch.cuda.get_rng_state": lambda device="cuda": torch.zeros(16, dtype=torch.uint8),
    "torch.cuda.set_rng_state": lambda state, device="cuda": None,
    "torch.cuda.default_generators": (torch.Generator(),),
    "torch.cuda.is_bf16_supported": lambda including_emulation=True: True,
    "torch.cuda.is_current_stream_capturing": lambda: False,
    "torch.optim.Optimizer._accelerator_graph_capture_health_check": lambda self: None,
}


@contextmanager
def pretended_cuda(**changes: Any) -> Iterator[Record]:
    """Have a GPU within the block; yield what made the host wait for it.

    changes: other answers of ``torch.cuda``, by the function's name.
    """
    global _RECORD
    _RECORD = Record()
    patches = _PATCHES | {f"torch.cuda.{name}": answer for name, answer in changes.items()}
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with ExitStack() as stack:
            for name, answer in patches.items():
                stack.enter_context(mock.patch(name, answer))
            stack.enter_context(_Mode())
            yield _RECORD
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
