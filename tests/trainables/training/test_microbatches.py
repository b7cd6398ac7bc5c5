"""Batches passed in parts: the loss and gradients of whole ones, and what a trial does with it."""

import copy
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models as published

from tests.builders.tiny_runs import (
    CONTRASTIVE,
    REGRESSION,
    Listener,
    Place,
    scores,
)
from trainables.exceptions import OutOfMemory
from trainables.models import heads
from trainables.models.finetuned import build_model
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Regression
from trainables.training.distributed import SINGLE_PROCESS
from trainables.training.microbatches import Microbatcher, can_be_split
from trainables.training.synchronised import ForwardConfig, SharedModel

pytestmark = pytest.mark.usefixtures("without_ray")

N = 23
OBJECTIVES = (Contrastive(), Regression())


class Double(nn.Module):
    """Compute in float64 from here on."""

    def forward(self, x: Tensor) -> Tensor:
        return x.double()


def backbone() -> nn.Module:
    return nn.Sequential(
        Double(),
        nn.Conv2d(3, 6, 4, stride=4),
        nn.ReLU(inplace=True),
        nn.Dropout2d(0.3),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(6 * 4 * 4, 12),
        DropPath(0.3),
        nn.Dropout(0.5),
    ).double()


def step(objective: Contrastive | Regression, part: int | None) -> tuple[Tensor, list[Tensor]]:
    """Give the loss and the gradients of one batch, and leave the generator as it then is."""
    torch.manual_seed(0)
    model = build_model(objective, backbone(), 16, [9], seed=0).double()
    images = torch.randint(0, 256, (N, 3, 16, 16), dtype=torch.uint8)
    responses = torch.randn(N, 9, dtype=torch.float64)
    shared = SharedModel(SINGLE_PROCESS, model, ForwardConfig(Microbatcher(part) if part else None))
    with shared.synchronised():
        loss = shared.loss(model, images, responses, N)
        torch.autograd.backward(loss)
    return loss.detach(), [one.grad for one in model.parameters() if one.grad is not None]


@pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda one: type(one).__name__)
@given(part=st.integers(1, N + 3))
@settings(max_examples=8, deadline=None)
def test_loss_gradients_and_draws_are_those_of_the_whole_batch(objective, part) -> None:
    whole, expected = step(objective, None)
    drawn = torch.rand(3)
    loss, found = step(objective, part)
    assert torch.equal(torch.rand(3), drawn)
    assert loss == pytest.approx(float(whole), rel=1e-12)
    assert len(found) == len(expected) >= 5
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


class Dropping(nn.Module):
    """Drop by a function, before and after a module that does, and keep what was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.module, self.other = nn.Linear(12, 12), nn.Dropout(0.4), nn.Linear(12, 12)
        self.passes: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        x = functional.dropout(self.one(x.flatten(1)[:, :12]), 0.5, self.training)
        x = self.module(x)
        x = functional.dropout(self.other(x), 0.5, self.training)
        self.passes.append(x.detach().clone())
        return x


@pytest.mark.parametrize("part", [5, 8, N])
def test_masks_of_functional_dropout_are_those_of_the_first_pass(part) -> None:
    """The backward pass recomputes the same activations, and leaves the generator as it was."""
    torch.manual_seed(0)
    backbone = Dropping()
    model = build_model(Contrastive(), backbone, 16, [9], seed=0)
    shared = SharedModel(SINGLE_PROCESS, model, ForwardConfig(Microbatcher(part)))
    images = torch.randint(0, 256, (N, 3, 16, 16), dtype=torch.uint8)
    with shared.synchronised():
        backbone.passes.clear()
        loss = shared.loss(model, images, torch.randn(N, 9), N)
        first, state = list(backbone.passes), torch.get_rng_state()
        backbone.passes.clear()
        torch.autograd.backward(loss)
    assert torch.equal(torch.get_rng_state(), state)
    again = backbone.passes[::-1]  # the last part is recomputed first
    assert len(first) == len(again) == -(-N // part)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(first[0][:3] == 0, first[-1][:3] == 0) or len(first) == 1


def test_no_part_is_larger_than_asked_and_modules_are_left_as_they_were() -> None:
    seen: list[int] = []
    model = build_model(Contrastive(), backbone(), 16, [9], seed=0).double()
    before = copy.deepcopy(model.state_dict())
    model.backbone.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    shared = SharedModel(SINGLE_PROCESS, model, ForwardConfig(Microbatcher(5)))
    images = torch.zeros(N, 3, 16, 16, dtype=torch.uint8)
    with shared.synchronised():
        torch.autograd.backward(shared.loss(model, images, torch.randn(N, 9).double(), N))
    assert seen == [5, 5, 5, 5, 3, *seen[5:]]
    assert sorted(seen[5:]) == [3, 5, 5, 5, 5]  # passed again for the gradients
    assert list(model.state_dict()) == list(before)
    assert all("forward" not in module.__dict__ for module in model.modules())


def test_batchnorm_alone_forbids_parts() -> None:
    assert can_be_split(published.alexnet())
    assert not can_be_split(published.resnet18())


def out_of_memory_above(limit: int, images: Tensor, network: nn.Module) -> Tensor:
    """Stand in for the backbone's first step, on a device that holds so many images'
    activations."""
    if torch.is_grad_enabled() and len(images) > limit:
        raise torch.OutOfMemoryError(f"tried to hold {len(images)} images")
    return normalise(images, network)


normalise = heads.normalise


@pytest.mark.parametrize("kind", ["contrastive", "regression", "pooled"])
def test_a_trial_out_of_memory_is_finetuned_in_smaller_parts_to_the_same_scores(
    place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    objective = {"contrastive": CONTRASTIVE, "regression": REGRESSION}.get(kind)
    trial = place.trial(objective) if objective else place.pooled()
    place.runner("whole").run(trial, Listener())
    monkeypatch.setattr(f"trainables.models.{'pooled' if kind == 'pooled' else 'heads'}.normalise",
                        partial(out_of_memory_above, 8))  # fmt: skip
    monkeypatch.setattr("trainables.training.microbatches.SMALLEST", 2)
    listener = Listener()
    outcome = place.runner().run(trial, listener)
    assert outcome.status == "finished"
    assert "finetuning, 8 images at a time" in listener.stages
    assert "finetuning, 4 images at a time" not in listener.stages
    found, expected = scores(place, trial), scores(place, trial, "whole")
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        assert one["r"] == pytest.approx(other["r"], abs=1e-4)
    assert "8 images at a time" in RunDirectory(place.home / "runs").log_file(trial.id).read_text()


def test_a_trial_that_no_part_fits_is_reported_with_its_cure(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.models.heads.normalise", partial(out_of_memory_above, 3))
    with pytest.raises(OutOfMemory, match=r"even with 8 images .*smaller batch"):
        place.runner().run(place.trial(), Listener())


def test_another_error_is_not_taken_for_one_of_memory(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(images: Tensor, network: nn.Module) -> Tensor:
        raise RuntimeError("a defect")

    monkeypatch.setattr("trainables.models.heads.normalise", fail)
    listener = Listener()
    with pytest.raises(RuntimeError, match="a defect"):
        place.runner().run(place.trial(), listener)
    assert not any("at a time" in stage for stage in listener.stages)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_that_is_too_small_for_a_batch_is_enough_for_parts_of_it() -> None:
    torch.cuda.set_per_process_memory_fraction(2.5e9 / torch.cuda.mem_get_info()[1])
    try:
        model = build_model(Contrastive(), published.alexnet(), 224, [500], seed=0).cuda()
        images = torch.zeros(4096, 3, 224, 224, dtype=torch.uint8, device="cuda")
        responses = torch.randn(4096, 500, device="cuda")
        with pytest.raises(torch.OutOfMemoryError):
            torch.autograd.backward(model.loss(images, responses))
        model.zero_grad(set_to_none=True)
        shared = SharedModel(SINGLE_PROCESS, model, ForwardConfig(Microbatcher(64)))
        with shared.synchronised():
            torch.autograd.backward(shared.loss(model, images, responses, 4096))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
