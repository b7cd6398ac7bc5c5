"""Synchronised training: several workers share each batch, as if a single worker processed it.

Each worker embeds its rows. BatchNorm computes its statistics over all rows, dropout draws the mask
of the whole batch and applies its own rows, and embeddings are gathered, so that every worker
computes the loss of the whole batch. A worker's gradients are the contribution of its rows, and
their sum over workers is the gradient that a single worker would compute.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.amp import autocast
from torch.autograd import Function
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.compute.numerics import FAST, Numerics
from trainables.models.finetuned import Embedder
from trainables.models.memory_layout import layout_of
from trainables.models.temperature import LearnedTemperature
from trainables.spec import FULL, Precision
from trainables.training.distributed import TrialProcessGroup
from trainables.training.microbatches import (
    Microbatcher,
    is_dropout,
    is_of_timm,
    replaced_forwards,
)


class _Gather(Function):
    """Gather every worker's rows into one tensor.

    Every worker computes the same from the result, so each has the whole gradient of its rows.
    """

    @staticmethod
    def forward(ctx: Any, own: Tensor, process_group: TrialProcessGroup, n: int) -> Tensor:
        ctx.rows = process_group.share(n)
        whole = own.new_zeros(n, *own.shape[1:])
        whole[ctx.rows] = own
        return process_group.sum(whole)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][ctx.rows], None, None


@dataclass(frozen=True)
class _Statistics:
    """A batch's statistics over all workers' rows, each (n_channels,)."""

    mean: Tensor
    inverse_std: Tensor
    count: int
    """Values per channel."""


class _Normalise(Function):
    """Batch normalisation by given statistics, which depend on the rows of all workers."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        statistics: _Statistics,
        process_group: TrialProcessGroup,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.statistics, ctx.process_group = statistics, process_group
        scaled: Tensor = _standardise(x, statistics) * _along(weight, x) + _along(bias, x)
        return scaled

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        statistics, gradient = ctx.statistics, gradients[0]
        standard = _standardise(x, statistics)
        own = torch.stack([_sum(gradient), _sum(gradient * standard)])
        mean, slope = ctx.process_group.sum(own) / statistics.count
        through = gradient - _along(mean, x) - standard * _along(slope, x)
        return (
            through * _along(weight * statistics.inverse_std, x),
            own[1],
            own[0],
            None,
            None,
        )


@dataclass(frozen=True)
class ForwardConfig:
    """The backbone's forward pass: in microbatches or whole batches, and how it computes."""

    microbatcher: Microbatcher | None = None
    """None: whole batches, which a process group requires."""
    precision: Precision = FULL
    numerics: Numerics = FAST


WHOLE_BATCHES: Final = ForwardConfig()
"""Forward pass of whole batches in float32."""


class SharedModel:
    """A model that a process group trains together, each worker on its rows of a batch.

    Raises ValueError for several workers with a precision other than float32, because they sum
    their statistics in float32, and with a BatchNorm that computes something else too.
    """

    def __init__(
        self,
        process_group: TrialProcessGroup,
        model: nn.Module,
        forward_config: ForwardConfig = WHOLE_BATCHES,
    ) -> None:
        self._process_group = process_group
        self._model = model
        self._microbatcher = forward_config.microbatcher
        self._is_full = forward_config.precision == FULL
        self._layout = layout_of(model)
        if process_group.size > 1 and not self._is_full:
            raise ValueError(
                f"{forward_config.precision} is for one worker per trial, found "
                f"{process_group.size}; give --workers-per-trial 1, or fine-tune in float32"
            )
        if process_group.size > 1:
            _check_norms(model)
        self._n = 0

    @contextmanager
    def synchronised(self) -> Iterator[None]:
        """Apply BatchNorm and dropout to the whole batch within the block.

        The modules and the names of their parameters stay the same.
        """
        with replaced_forwards(self._model, self._shared_forward):
            yield

    def _shared_forward(self, module: nn.Module) -> Callable[[Tensor], Tensor] | None:
        if self._process_group.size == 1:
            split = self._microbatcher is not None and is_dropout(module)
            return (
                partial(self._microbatcher.drop, module) if self._microbatcher and split else None
            )
        if isinstance(module, _BatchNorm):
            return partial(self._normalise, module)
        return partial(self._drop, module) if is_dropout(module) else None

    def loss(self, embedder: Embedder, images: Tensor, responses: Tensor, n: int) -> Tensor:
        """Compute the loss of a batch of n images, of which this worker processes its share."""
        self._n = n
        embedded = self._embed(embedder, images), embedder.embed_responses(responses)
        if self._process_group.size == 1:
            return embedder.compare(*embedded)
        return embedder.compare(*(_Gather.apply(own, self._process_group, n) for own in embedded))

    def _embed(self, embedder: Embedder, images: Tensor) -> Tensor:
        images = images.contiguous(memory_format=self._layout)
        with autocast(images.device.type, torch.bfloat16, enabled=not self._is_full):
            if self._microbatcher is None:
                read = embedder.read_images(images)
            else:
                read = self._microbatcher.read(embedder.read_images, images)
        embedded: Tensor = embedder.head(read.to(self._dtype))
        return embedded

    @property
    def _dtype(self) -> torch.dtype:
        """The precision of the model's parameters."""
        return next(self._model.parameters()).dtype

    def sum_gradients(self) -> None:
        """Replace every worker's gradients by their sum over workers."""
        if self._process_group.size == 1:
            return
        for parameter in self._after_gathering():  # every worker has all of their gradient
            if parameter.grad is not None:
                parameter.grad /= self._process_group.size
        gradients = [p.grad for p in self._model.parameters() if p.grad is not None]
        total = self._process_group.sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        microbatcher = torch.split(total, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, microbatcher, strict=True):
            gradient.copy_(part.view_as(gradient))

    def _after_gathering(self) -> Iterator[nn.Parameter]:
        """Yield the parameters of the loss itself, which is of all workers' embeddings."""
        for module in self._model.modules():
            if isinstance(module, LearnedTemperature):
                yield from module.parameters()

    def _drop(self, module: nn.Module, x: Tensor) -> Tensor:
        """Draw the mask of the whole batch, as a single worker would; apply this worker's rows."""
        forward = type(module).forward
        if not module.training:
            return forward(module, x)  # type: ignore[no-any-return]
        repeats = self._rows_per_image(x)
        with torch.no_grad():
            mask = forward(module, x.new_ones(repeats * self._n, *x.shape[1:]))
        own = self._process_group.share(self._n)
        masked: Tensor = x * mask[repeats * own.start : repeats * own.stop]
        return masked

    def _normalise(self, norm: _BatchNorm, x: Tensor) -> Tensor:
        """Normalise by the mean and variance of all workers' rows; update the running ones."""
        if not norm.training:
            return type(norm).forward(norm, x)
        count = self._rows_per_image(x) * self._n * prod(x.shape[2:])
        with torch.no_grad():
            mean = self._process_group.sum(_sum(x)) / count
            variance = self._process_group.sum(_sum((x - _along(mean, x)).square())) / count
            _update_running(norm, mean, variance * (count / max(count - 1, 1)))
        statistics = _Statistics(mean, (variance + norm.eps).rsqrt(), count)
        weight = torch.ones_like(mean) if norm.weight is None else norm.weight
        bias = torch.zeros_like(mean) if norm.bias is None else norm.bias
        normalised: Tensor = _Normalise.apply(x, weight, bias, statistics, self._process_group)
        return _activate(norm, normalised)

    def _rows_per_image(self, x: Tensor) -> int:
        """Count a layer's rows per image: more than one if it divides images into windows."""
        own = self._process_group.share(self._n)
        n_rows, n_own = len(x), int(own.stop - own.start)
        if self._n >= self._process_group.size:
            return n_rows // n_own
        # A worker without an image (fewer images than workers) can't count them.
        return int(self._process_group.sum(torch.tensor([n_rows], device=x.device))) // self._n


def _has_activation(norm: nn.Module) -> bool:
    return is_of_timm(norm, "BatchNormAct2d")


def _activate(norm: Any, normalised: Tensor) -> Tensor:
    """Apply what timm's BatchNormAct2d has after its normalisation."""
    if not _has_activation(norm):
        return normalised
    activated: Tensor = norm.act(norm.drop(normalised))
    return activated


def _check_norms(model: nn.Module) -> None:
    """Raise ValueError for a BatchNorm whose forward pass several workers can't share."""
    for name, module in model.named_modules():
        if not isinstance(module, _BatchNorm) or isinstance(module, nn.SyncBatchNorm):
            continue
        if type(module).forward is not _BatchNorm.forward and not _has_activation(module):
            raise ValueError(
                f"{name}: {type(module).__name__} is a BatchNorm with a forward pass of its own, "
                "which several workers can't share; give --workers-per-trial 1"
            )


def _sum(x: Tensor) -> Tensor:
    """Sum over all but channels: (n, n_channels, …) -> (n_channels,)."""
    return x.sum(dim=[d for d in range(x.dim()) if d != 1])


def _along(values: Tensor, x: Tensor) -> Tensor:
    """Reshape one value per channel to broadcast with x: (n, n_channels, …)."""
    return values.view(1, -1, *[1] * (x.dim() - 2))


def _standardise(x: Tensor, statistics: _Statistics) -> Tensor:
    return (x - _along(statistics.mean, x)) * _along(statistics.inverse_std, x)


def _update_running(norm: _BatchNorm, mean: Tensor, variance: Tensor) -> None:
    if norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    cumulative = norm.momentum is None
    share = 1.0 / float(norm.num_batches_tracked) if cumulative else float(norm.momentum or 0.0)
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance, share)
