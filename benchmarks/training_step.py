"""Compare variants of a contrastive training step: optimiser, memory layout, precision.

python -m benchmarks.training_step [--backbone alexnet --batch-size 64]

Variants run alternately. Printed are the images per second of each variant's fastest step, and the
seconds of its first step, which includes compilation and does not count.
"""

import argparse
from dataclasses import dataclass
from typing import Final

import torch

from benchmarks.ceilings import timed
from benchmarks.trial_steps import SIZES, draw_images
from trainables.compute.device import use_threads
from trainables.models import backbones
from trainables.models.finetuned import build_model
from trainables.spec import Contrastive

CPU: Final = torch.device("cpu")


@dataclass(frozen=True)
class Variant:
    """Settings of a training step."""

    name: str
    fused: bool
    channels_last: bool = False
    bfloat16: bool = False
    compiled: bool = False


VARIANTS: Final = (
    Variant("float32, Adam in a loop over tensors", fused=False),
    Variant("the same, channels last", fused=False, channels_last=True),
    Variant("float32, fused Adam", fused=True),
    Variant("the same, channels last", fused=True, channels_last=True),
    Variant("float32, fused Adam, compiled", fused=True, compiled=True),
    Variant("bfloat16, fused Adam", fused=True, bfloat16=True),
    Variant("the same, compiled", fused=True, bfloat16=True, compiled=True),
)


class Stepper:
    """A model and optimiser that repeat one training step."""

    def __init__(self, variant: Variant, options: argparse.Namespace) -> None:
        self._variant = variant
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        size = SIZES["nsd"]
        images = draw_images(options.batch_size, size, CPU)
        self._images = images.contiguous(memory_format=layout)
        self._responses = torch.randn(options.batch_size, options.vertices)
        backbone = backbones.build(options.backbone)
        objective = Contrastive(batch_size=options.batch_size)
        model = build_model(objective, backbone, size.image_size, [options.vertices], seed=0)
        self._model = model.to(memory_format=layout).train()
        if variant.compiled:
            self._model.backbone.compile()
        self._optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=variant.fused)

    def step(self) -> None:
        """Take one step."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self._variant.bfloat16):
            read = self._model.read_images(self._images)
        embedded = self._model.head(read.float())
        loss = self._model.compare(embedded, self._model.embed_responses(self._responses))
        self._optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self._optimizer.step()


def main() -> None:
    """Take steps of all variants alternately, and print the rates."""
    parser = argparse.ArgumentParser(description="Variants of a training step.")
    parser.add_argument("--backbone", default="alexnet")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--vertices", type=int, default=600)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    use_threads(1)
    steppers = [Stepper(variant, options) for variant in VARIANTS]
    first, *seconds = [
        [timed(one.step, CPU) for one in steppers] for _ in range(options.repeats + 1)
    ]
    for variant, began, runs in zip(VARIANTS, first, zip(*seconds, strict=True), strict=True):
        rate = options.batch_size / min(runs)
        print(f"{variant.name:40} {rate:6.1f} images/s, the first step {began:5.1f} s")


if __name__ == "__main__":
    main()
