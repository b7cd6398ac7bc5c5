"""One training step in each precision and memory layout, on a problem of NSD's size."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.programme import VERTICES
from trainables.compute.precision import full_float32, tf32_products
from trainables.models import backbones
from trainables.models.finetuned import build_model
from trainables.models.normalisation import normalise
from trainables.spec import Contrastive


@dataclass(frozen=True)
class Size:
    """Sizes of a subject and a backbone."""

    backbone: str = "alexnet"
    image_size: int = 224
    n_images: int = 9841
    n_train: int = 8364
    batch_size: int = 1024
    vertices: tuple[int, ...] = (600, 2500, 5741)
    all_vertices: int = VERTICES
    trials_per_gpu: tuple[int, ...] = (1, 2, 4, 16)
    n_components: int = 1000


SMALL: Final = Size("narrow-alexnet", 64, 600, 500, 64, (40, 80), 500, (1, 2), 100)


@dataclass(frozen=True)
class Variant:
    """Settings of a training step."""

    name: str
    precision: Callable[[], AbstractContextManager[None]] = nullcontext
    bfloat16: bool = False
    channels_last: bool = False
    compiled: bool = False
    graph: bool = False


VARIANTS: Final = (
    Variant("float32 throughout", full_float32),
    Variant("torch's default: TF32 convolutions"),
    Variant("TF32 products too", tf32_products),
    Variant("TF32 products too, channels last", tf32_products, channels_last=True),
    Variant("bfloat16", bfloat16=True),
    Variant("bfloat16, channels last", bfloat16=True, channels_last=True),
    Variant("bfloat16, channels last, TF32 products", tf32_products, True, channels_last=True),
    Variant("bfloat16, compiled", bfloat16=True, compiled=True),
    Variant("bfloat16, a CUDA graph", bfloat16=True, graph=True),
)
DEFAULT, HALF = VARIANTS[3], VARIANTS[6]
"""The variants in use on a GPU: by default, and with ``--precision bfloat16``."""


class Stepper:
    """A contrastive model that repeats the training step of one batch."""

    def __init__(self, variant: Variant, size: Size, n_vertices: int, device: torch.device) -> None:
        layout = torch.channels_last if variant.channels_last else torch.contiguous_format
        self._variant, self.device = variant, device
        self._images = draw(size.batch_size, size, device).contiguous(memory_format=layout)
        self._responses = torch.randn(size.batch_size, n_vertices, device=device)
        objective = Contrastive(batch_size=size.batch_size)
        backbone = backbones.build(size.backbone)
        model = build_model(objective, backbone, size.image_size, [n_vertices], seed=0)
        self._model: Any = model.to(device).to(memory_format=layout).train()
        self._optimizer = torch.optim.Adam(
            model.parameters(), lr=1e-4, fused=True, capturable=variant.graph
        )
        self._backbone = torch.compile(model.backbone) if variant.compiled else model.backbone
        self._replay: Callable[[], object] | None = None

    def step(self) -> None:
        """Take a step."""
        if self._variant.graph and self._replay is None:
            self._replay = self._captured()
        with self._variant.precision():
            (self._replay or self._step)()

    def _step(self) -> None:
        self._learn(normalise(self._images))

    def _learn(self, images: Tensor) -> None:
        model = self._model
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._variant.bfloat16):
            read = model.image_readout(self._backbone(images))
        loss = model.compare(model.head(read.float()), model.embed_responses(self._responses))
        self._optimizer.zero_grad(set_to_none=not self._variant.graph)
        torch.autograd.backward(loss)
        self._optimizer.step()

    def _captured(self) -> Callable[[], object]:
        """Record a step as a CUDA graph; normalisation can't be recorded, so it comes before."""
        images = normalise(self._images)
        side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._learn(images)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._learn(images)
        return graph.replay


def draw(n: int, size: Size, device: torch.device) -> Tensor:
    """Draw images of noise; computing time does not depend on their content."""
    shape = (n, 3, size.image_size, size.image_size)
    return torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
