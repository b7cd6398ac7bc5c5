"""Fine-tuning on a pretended GPU: as on the CPU, and the host waits for it once a report."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from tests.builders.pretended_cuda import CUDA, Record, pretended_cuda
from tests.builders.tiny_backbone import tiny_backbone
from tests.builders.tiny_finetuning import (
    CONTRASTIVE,
    CPU,
    REGRESSION,
    SIZE,
    planted,
)
from trainables.compute.numerics import FAST, Numerics
from trainables.data.images import ResidentImages, StreamedImages
from trainables.models import normalisation
from trainables.models.memory_layout import layout_of
from trainables.models.normalisation import normalise, set_pixels
from trainables.results.epoch_report import EpochReport
from trainables.spec import Finetuned, Pooled, SelfSupervised
from trainables.storage.stored_directory import StoredDirectory
from trainables.training import views
from trainables.training.batches import TrainingData
from trainables.training.checkpoints import Checkpoints
from trainables.training.finetune import finetune
from trainables.training.saved_state import flatten_optimizer, restore_optimizer
from trainables.training.synchronised import ForwardConfig

EPOCHS = 2
POOLED = Pooled(batch_size=16, epochs=EPOCHS, learning_rate=3e-3)
SELF_SUPERVISED = SelfSupervised(batch_size=16, epochs=EPOCHS, learning_rate=3e-3)
pytestmark = pytest.mark.usefixtures("one_thread")


def put(data: TrainingData, device: torch.device, *, streamed: bool) -> TrainingData:
    pixels = data.images.tensor
    images = ResidentImages(pixels.to(device))
    if streamed:
        images = StreamedImages(
            len(pixels), SIZE, lambda rows: (pixels[p] for p in torch.split(rows, 10)), device
        )
    return replace(data, images=images, responses=data.responses.to(device))


def autocast(kind: str, dtype: torch.dtype, enabled: bool) -> torch.amp.autocast:
    return torch.amp.autocast("cpu", dtype, enabled=enabled)


class Tuning:
    """One fine-tuning on one or two subjects; and the waits between its first and last report."""

    def __init__(self, objective: Finetuned, *, streamed: bool = False) -> None:
        n_subjects = 2 if isinstance(objective, Pooled) else 1
        self._subjects = [planted(seed=seed) for seed in range(n_subjects)]
        self._objective = replace(objective, epochs=EPOCHS)
        self._streamed = streamed
        self.waits: list[Counter[str]] = []

    def run(
        self, home: Path, device: torch.device, record: Record | None = None, **options
    ) -> tuple[dict[str, Tensor], tuple[EpochReport, ...], torch.memory_format]:
        data = [put(one, device, streamed=self._streamed) for one in self._subjects]
        backbone = tiny_backbone(SIZE, 16).to(device)

        def report(done: EpochReport) -> bool:
            if record is not None:
                self.waits.append(record.kinds())
            return True

        history = finetune(
            self._objective, 0, backbone, data, Checkpoints(StoredDirectory(home)), report,
            forward_config=ForwardConfig(**options),
        )  # fmt: skip
        state = {name: value.cpu() for name, value in backbone.state_dict().items()}
        return state, history, layout_of(backbone)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("objective", "n_waits"),
    [
        (CONTRASTIVE, 2),  # the loss, and the retrieval
        (replace(REGRESSION, validation=0.0), 1),
        (POOLED, 1),
        (SELF_SUPERVISED, 1),
    ],
    ids=lambda one: getattr(one, "method", str(one)),
)
def test_the_host_waits_for_the_gpu_once_a_report_and_trains_as_the_cpu(
    tmp_path: Path, objective: Finetuned, n_waits: int, streamed: bool
) -> None:
    tuning = Tuning(objective, streamed=streamed)
    expected = tuning.run(tmp_path / "cpu", CPU)
    with pretended_cuda() as record:
        found = tuning.run(tmp_path / "gpu", CUDA, record)
    assert tuning.waits[1] - tuning.waits[0] == Counter(number=n_waits)
    for epoch, reference in zip(found[1], expected[1], strict=True):
        assert epoch.loss == pytest.approx(reference.loss, rel=1e-3)
        assert epoch.retrieval_top1 == reference.retrieval_top1
    for name, value in found[0].items():
        if (
            value.ndim > 1
        ):  # biases before a BatchNorm have no gradient but rounding, which Adam scales
            torch.testing.assert_close(value, expected[0][name], rtol=0, atol=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("numerics", "layout"),
    [(FAST, torch.channels_last), (Numerics(deterministic=True), torch.contiguous_format)],
)
def test_channels_are_last_on_a_gpu_unless_the_trial_is_deterministic(
    tmp_path: Path, precision: str, numerics: Numerics, layout: torch.memory_format
) -> None:
    seen: list[bool] = []
    forward = nn.Conv2d.forward

    def watched(self: nn.Conv2d, images: Tensor) -> Tensor:
        if self.training:
            seen.append(images.is_contiguous(memory_format=layout))
        return forward(self, images)

    with (
        pretended_cuda(),
        mock.patch("trainables.training.synchronised.autocast", autocast),
        mock.patch.object(nn.Conv2d, "forward", watched),
    ):
        options = {"precision": precision, "numerics": numerics}
        found = Tuning(REGRESSION).run(tmp_path / "gpu", CUDA, **options)[2]
    assert found == layout
    assert seen
    assert all(seen)
    assert Tuning(REGRESSION).run(tmp_path / "cpu", CPU)[2] == torch.contiguous_format


class Viewing(nn.Module):
    """A user's network, which wants the usual layout."""

    def __init__(self) -> None:
        super().__init__()
        self.features = tiny_backbone(SIZE, 16)[:2]
        self.head = nn.Linear(16 * (SIZE // 4) ** 2, 20)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.features(images)
        return self.head(maps.view(len(maps), -1))


def test_a_network_that_wants_the_usual_layout_keeps_it(tmp_path: Path) -> None:
    with pretended_cuda():
        backbone = Viewing().to(CUDA)
        data = put(planted(), CUDA, streamed=False)
        objective = replace(REGRESSION, epochs=1)
        checkpoints = Checkpoints(StoredDirectory(tmp_path))
        finetune(objective, 0, backbone, [data], checkpoints, lambda done: True)
        assert layout_of(backbone) == torch.contiguous_format
        assert backbone.training is False  # retrieval was last


def test_an_optimiser_restored_has_the_layout_of_its_parameters() -> None:
    def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()

    model = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    step(model, optimizer)
    saved = {name: v.clone().contiguous() for name, v in flatten_optimizer(optimizer).items()}
    other = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    other.load_state_dict(model.state_dict())
    again = torch.optim.Adam(other.parameters(), fused=True)
    restore_optimizer(again, saved)
    assert again.state[other.weight]["exp_avg"].stride() == other.weight.stride()
    step(model, optimizer)
    step(other, again)
    assert torch.equal(model.weight, other.weight)


@pytest.mark.parametrize("pixels", [None, ((0.5, 0.4, 0.3), (0.1, 0.2, 0.7))])
def test_a_gpu_normalises_in_one_pass_to_the_values_of_the_cpu(pixels) -> None:
    network = nn.Identity() if pixels is None else set_pixels(nn.Identity(), pixels)
    images = torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8)
    passes: list[object] = []
    addcmul = torch.addcmul
    with (
        pretended_cuda(),
        mock.patch.object(torch, "addcmul", lambda *a: (passes.append(a), addcmul(*a))[1]),
    ):
        found = normalise(images.to(CUDA).contiguous(memory_format=torch.channels_last), network)
        assert found.dtype == torch.float32
        assert found.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(found.cpu(), normalise(images, network), rtol=1e-6, atol=2e-6)
    assert len(passes) == 1


@pytest.fixture(autouse=True)
def no_constants_of_a_pretended_gpu():
    yield
    normalisation._factor_and_offset.cache_clear()
    views._constant.cache_clear()
