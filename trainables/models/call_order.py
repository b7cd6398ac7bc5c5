"""What one image makes of a backbone: its logits, and the order in which modules are called."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainables.models.layers import accepting_images


def call_order(backbone: nn.Module, image_size: int) -> dict[str, int]:
    """Count the modules that one image enters, by name, in the order of their first call.

    Modules that are not called, though their weights may be used, are absent. Raises ValueError if
    the backbone does not accept images of image_size x image_size pixels.
    """
    order: dict[str, int] = {}

    def noting(name: str) -> Callable[[nn.Module, object], None]:
        def note(module: nn.Module, inputs: object) -> None:
            order.setdefault(name, len(order))

        return note

    hooks = [one.register_forward_pre_hook(noting(name)) for name, one in backbone.named_modules()]
    try:
        count_logits(backbone, image_size)
    finally:
        for hook in hooks:
            hook.remove()
    return order


def position(name: str, order: dict[str, int]) -> int:
    """Return a module's number, or that of the nearest module around it that is called."""
    while name not in order:
        name = name.rpartition(".")[0]
    return order[name]


def count_logits(backbone: nn.Module, image_size: int) -> int:
    """Count a backbone's outputs an image.

    Raises ValueError when it takes no such image, has no weights, or returns no vector an image.
    """
    was_training = backbone.training
    parameter = next(backbone.parameters(), None)
    if parameter is None:
        raise ValueError("the backbone has no weights, so that nothing can be tuned")
    try:
        with accepting_images(image_size), torch.no_grad():
            image = torch.zeros(1, 3, image_size, image_size, device=parameter.device)
            logits = backbone.eval()(image)
    finally:
        backbone.train(was_training)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or not logits.is_floating_point():
        found = (
            f"shape {tuple(logits.shape)} of {str(logits.dtype).removeprefix('torch.')}"
            if isinstance(logits, Tensor)
            else f"a {type(logits).__name__}"
        )
        raise ValueError(
            "to be tuned, a backbone returns a tensor of floats, (n_images, n_features); of one "
            f"image this one returned {found}: let it pool and flatten, or choose another"
        )
    return logits.shape[1]
