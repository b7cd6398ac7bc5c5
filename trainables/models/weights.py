"""Weights of backbones: state dicts in the forms that people have, checked before use.

A state dict is read without executing code, freed from what training scripts wrap it in, and
compared with the network: names, shapes and values.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from trainables.models.weight_files import read_content

_logger = logging.getLogger(__name__)

WRAPPERS: Final = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Entries in which training scripts save a state dict, next to epochs and optimisers."""
AVERAGED: Final = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "teacher")
"""Entries of averages of the weights over the training, which are preferred to the last weights."""
PREFIXES: Final = frozenset(
    {"module", "_orig_mod", "model", "backbone", "encoder", "encoder_q", "base_encoder"}
    | {"network", "net", "visual", "trunk"}
)
"""Parts of names in which a network is held by DataParallel, torch.compile, Lightning, MoCo …"""
COUNTER: Final = "num_batches_tracked"
"""BatchNorm's counter, which files of PyTorch before 0.4.1 lack; no result depends on it."""
OLD_DENSENET: Final = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""Names such as ``denselayer1.norm.1.weight`` in the published files of DenseNet."""
SAVE: Final = "save model.state_dict() with safetensors or torch.save"


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict that cannot execute code, on the CPU.

    A dict that holds one as ``state_dict`` or ``model`` is unwrapped. Raises ValueError naming the
    file, the entry and the cure.
    """
    return _unwrapped(read_content(path), path)


def _unwrapped(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the state dict in what a file holds: itself, an average, or the only other entry."""
    if _is_state(content):
        return dict(content)
    entries = content if isinstance(content, Mapping) else {}
    found = [name for name in (*AVERAGED, *WRAPPERS) if _is_state(entries.get(name))]
    n_averages = sum(name in AVERAGED for name in found)
    if n_averages == 1 or len(found) == 1:
        return dict(entries[found[0]])
    listed = f" entries {', '.join(map(str, content))[:100]}" if found else ""
    raise ValueError(f"{path}: expected a dict of tensors, found{listed or _kind(content)}; {SAVE}")


def _kind(content: Any) -> str:
    entries = ", ".join(map(repr, list(content)[:3])) if isinstance(content, Mapping) else ""
    return f" a {type(content).__name__}" + (f" of {entries}" if entries else "")


def _is_state(content: Any) -> bool:
    return (
        isinstance(content, Mapping)
        and len(content) > 0
        and all(isinstance(name, str) for name in content)
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _problem(value: Tensor) -> str | None:
    """Describe why a tensor can't be used as a weight; None if it can."""
    if value.is_meta:
        return "has no values (it is on the device 'meta')"
    if value.is_quantized:
        return "is quantized; expected floating-point values"
    if value.layout != torch.strided or value.is_nested:
        return f"is of the layout {str(value.layout).removeprefix('torch.')}; expected it dense"
    if value.is_complex() or value.dtype == torch.bool:
        return f"is of {str(value.dtype).removeprefix('torch.')}; expected floating-point values"
    return None


def fit(state: Mapping[str, Tensor], network: nn.Module, complaint: str) -> dict[str, Tensor]:
    """Return a state that a network loads, in its types; raise ValueError if it does not fit.

    The prefix under which most of the network's names stand is removed (:func:`prefix_of`), and
    entries outside of it are left out: of other networks, losses and heads that were trained along.
    DenseNet's old names are renamed, and absent counters of BatchNorm are zero. complaint: put
    before the difference: the first names and shapes, only the head, or values that are not finite.
    """
    expected = network.state_dict()
    prefix = prefix_of(state, expected)
    own = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    if len(own) < len(state):
        _logger.info("left out %d entries that are not in %s*", len(state) - len(own), prefix)
    for name, value in own.items():
        if (problem := _problem(value)) is not None:
            raise ValueError(f"{complaint}: {prefix + name!r} {problem}; {SAVE}")
    fitted = {_new_name(name, expected): value for name, value in own.items()}
    for name in expected.keys() - fitted.keys():
        if name.endswith(COUNTER):
            fitted[name] = torch.zeros((), dtype=torch.long)
    check_fit(fitted, network, complaint)
    for name, value in fitted.items():
        if expected[name].is_floating_point() and not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise ValueError(f"{complaint}: {name!r} is of {kind}; expected floating-point values")
    typed = {n: v.detach().to(expected[n].dtype).contiguous() for n, v in fitted.items()}
    check_finite(typed, complaint)
    return typed


def prefix_of(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Return the prefix, of parts in PREFIXES, under which most of the expected names stand.

    Empty if no prefix has more of them than the names as they are.
    """
    prefixes = {"": None}
    for name in state:
        parts = name.split(".")
        n_parts = next((i for i, part in enumerate(parts) if part not in PREFIXES), len(parts) - 1)
        prefixes |= {".".join(parts[:n]) + ".": None for n in range(1, n_parts + 1)}

    def n_expected(prefix: str) -> int:
        own = (name.removeprefix(prefix) for name in state if name.startswith(prefix))
        return sum(_new_name(name, expected) in expected for name in own)

    return max(sorted(prefixes, key=len), key=n_expected)


def _new_name(name: str, expected: Mapping[str, Tensor]) -> str:
    new = OLD_DENSENET.sub(r"\1\2.", name)
    return new if name not in expected and new in expected else name


def check_finite(state: Mapping[str, Tensor], complaint: str) -> None:
    """Raise ValueError with the complaint if a state holds values that are not finite."""
    wrong = [name for name, value in state.items() if not _is_finite(value)]
    if wrong:
        value = state[wrong[0]]
        kind = "NaN" if bool(value.isnan().any()) else "infinite values"
        raise ValueError(
            f"{complaint}: weights hold {kind} in {len(wrong)} of {len(state)} entries, first "
            f"{wrong[0]!r}; give weights of a training that has not diverged"
        )


def _is_finite(value: Tensor) -> bool:
    """Return whether all values are finite; nearly always their sum tells, which is faster."""
    return bool(value.sum().isfinite()) or bool(value.isfinite().all())


def check_fit(state: Mapping[str, Tensor], network: nn.Module, complaint: str) -> None:
    """Raise ValueError, the complaint and the first difference, unless a state fits a network."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    wrong = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if not wrong:
        return
    name = wrong[0]
    shapes = (
        f"{name!r}: expected {expected.get(name, 'nothing')}, found {found.get(name, 'nothing')}"
    )
    head = list(expected)[-1].rpartition(".")[0]
    if all(one.startswith(f"{head}.") for one in wrong):
        raise ValueError(
            f"{complaint}: only its head {head!r} differs ({shapes}); give weights with a head "
            f"of {expected[f'{head}.weight'][0]:,} classes"
        )
    raise ValueError(
        f"{complaint}: {len(wrong)} of {len({*expected, *found})} entries differ, first {shapes}; "
        "give weights of this architecture"
    )
