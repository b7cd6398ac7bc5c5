"""Microbatches, for devices without enough memory for a whole batch's activations.

Backbone and readout process one part of the batch at a time, and its activations are not kept: the
backward pass recomputes them, from the random state of the first time, so that a network's own
draws (``F.dropout``) are repeated. The head and the loss get the readouts of the whole batch, so
loss and gradients equal those of the whole batch up to the rounding of sums.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from trainables.models.published import ops

DROPOUTS: Final = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, ops.StochasticDepth)
"""torch's modules that multiply by a random mask, drawn for all rows of their input."""
SMALLEST: Final = 8
"""Images of the smallest microbatch that is tried."""


def is_dropout(module: nn.Module) -> bool:
    """Return whether a module multiplies by a random mask: dropout, or stochastic depth of timm."""
    return isinstance(module, DROPOUTS) or is_of_timm(module, "DropPath")


def is_of_timm(module: nn.Module, name: str) -> bool:
    """Return whether a module is of a class of timm, which need not be imported."""
    kind = type(module)
    return kind.__name__ == name and kind.__module__.startswith("timm.")


def can_be_split(backbone: nn.Module) -> bool:
    """Return whether a backbone processes images independently; BatchNorm that is tuned does not.

    A frozen one normalises by its running statistics.
    """
    norms = [module for module in backbone.modules() if isinstance(module, _BatchNorm)]
    return all(one.affine and not one.weight.requires_grad for one in norms)


class Microbatcher:
    """Processes batches in parts of ``size`` images; masks are drawn for the whole batch."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._masks: dict[int, Tensor] = {}
        self._n = 0
        self._rows = slice(0, 0)
        self._n_drawn = 0

    def read(self, read: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Compute the readout of a batch's images: (n, 3, s, s) -> (n, hidden)."""
        self._masks, self._n = {}, len(images)
        starts = range(0, self._n, self._size)
        rows = [slice(start, min(start + self._size, self._n)) for start in starts]
        parts = [
            checkpoint(self._pass, read, images[one], one, use_reentrant=False) for one in rows
        ]
        return torch.cat(parts)

    def _pass(self, read: Callable[[Tensor], Tensor], images: Tensor, rows: slice) -> Tensor:
        self._rows, self._n_drawn = rows, 0
        return read(images)

    def drop(self, module: nn.Module, x: Tensor) -> Tensor:
        """Apply this part's rows of the dropout mask that is drawn for the whole batch.

        The first part draws it. It does so again when it is recomputed, with the same result, so
        that draws of the network's own that follow are the same too.
        """
        forward: Callable[[nn.Module, Tensor], Tensor] = type(module).forward
        if not module.training:
            return forward(module, x)
        repeats = len(x) // (self._rows.stop - self._rows.start)
        if self._rows.start == 0:
            with torch.no_grad():
                ones = x.new_ones(repeats * self._n, *x.shape[1:])
                self._masks[self._n_drawn] = forward(module, ones)
        mask = self._masks[self._n_drawn]
        self._n_drawn += 1
        return x * mask[repeats * self._rows.start : repeats * self._rows.stop]


@contextmanager
def replaced_forwards(
    model: nn.Module, replacement: Callable[[nn.Module], Callable[[Tensor], Tensor] | None]
) -> Iterator[None]:
    """Replace the forward of some modules within the block; parameters keep their names."""
    changed = []
    for module in model.modules():
        forward = replacement(module)
        if forward is not None:
            setattr(module, "forward", forward)  # noqa: B010 (mypy: a method)
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.__dict__["forward"]
