"""Contrastive's options: both directions, a learned temperature, remembered responses."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.trainables.models.test_losses import embeddings, formula
from trainables.models.finetuned import begin_epoch
from trainables.models.heads import ContrastiveModel
from trainables.models.losses import contrastive_loss
from trainables.models.temperature import LEAST, START, LearnedTemperature
from trainables.spec import LEARNED, Contrastive
from trainables.training.preparation import TEMPERATURE_SPEED, make_optimizer

D = 4


def model_of(**options: Any) -> ContrastiveModel:
    """Build a model whose embeddings have D dimensions, in float64."""
    objective = Contrastive(embedding_ratio=0.2, **options)
    return ContrastiveModel(nn.Sequential(), 3, 5 * D, objective).double().train()


def test_both_directions_are_the_mean_of_the_formula_either_way() -> None:
    images, responses = embeddings(6, D)
    found = float(model_of(direction="both", temperature=0.2).compare(images, responses))
    there, back = formula(images, responses, 0.2), formula(responses, images, 0.2)
    assert found == pytest.approx((there + back) / 2, rel=1e-10)
    one = float(model_of(temperature=0.2).compare(images, responses))
    assert one == pytest.approx(there, rel=1e-10)
    assert abs(there - back) > 1e-3


@pytest.mark.parametrize("direction", ["image", "both"])
def test_a_learned_temperature_starts_at_the_paper_s_and_has_the_slope_of_the_loss(
    direction,
) -> None:
    images, responses = embeddings(6, D)
    model = model_of(temperature=LEARNED, direction=direction)
    constant = model_of(temperature=START, direction=direction)
    loss = model.compare(images, responses)
    assert float(loss.detach()) == pytest.approx(
        float(constant.compare(images, responses)), rel=1e-7
    )
    loss.backward()
    assert isinstance(model.temperature, LearnedTemperature)
    slope, step = float(model.temperature.log.grad), 1e-5

    def at(log: float) -> float:
        one = model_of(temperature=math.exp(log), direction=direction)
        return float(one.compare(images, responses))

    log = float(model.temperature.log.detach())
    assert slope == pytest.approx((at(log + step) - at(log - step)) / (2 * step), rel=1e-5)


def test_a_learned_temperature_takes_larger_steps_and_not_below_its_bound() -> None:
    model = model_of(temperature=LEARNED)
    assert isinstance(model.temperature, LearnedTemperature)
    optimizer = make_optimizer(model, 1e-3)
    rates = [(len(one["params"]), one["lr"]) for one in optimizer.param_groups]
    n_others = len(list(model.parameters())) - 1
    assert rates == [(n_others, 1e-3), (1, TEMPERATURE_SPEED * 1e-3)]
    with torch.no_grad():
        model.temperature.log.fill_(math.log(LEAST / 2))
    images, responses = embeddings(6, D)
    loss = model.compare(images, responses)
    assert float(loss.detach()) == pytest.approx(formula(images, responses, LEAST))
    torch.autograd.backward(loss)
    optimizer.step()
    assert float(model.temperature().detach()) > LEAST  # unlike pairs: the warmer, the better


def test_a_constant_temperature_is_no_parameter() -> None:
    model = model_of()
    names = set(model.state_dict())
    assert set(model_of(memory=8, direction="both").state_dict()) == names
    assert set(model_of(temperature=LEARNED).state_dict()) == {*names, "temperature.log"}
    [group] = make_optimizer(model, 1e-3).param_groups
    assert len(group["params"]) == len(names) - 6  # BatchNorm's statistics and counters


def batches(n: int) -> list[tuple[Tensor, Tensor]]:
    return [embeddings(3, D, seed=seed) for seed in range(n)]


@pytest.mark.parametrize(("memory", "kept"), [(3, [1]), (5, [1, 0]), (50, [1, 0])])
def test_the_last_responses_of_the_epoch_are_negatives(memory, kept) -> None:
    model = model_of(memory=memory)
    given = batches(3)
    found = [float(model.compare(*one)) for one in given]
    assert found[0] == pytest.approx(float(contrastive_loss(*given[0], 0.3)))
    earlier = torch.cat([given[number][1] for number in kept])[:memory]
    assert found[2] == pytest.approx(float(contrastive_loss(*given[2], 0.3, earlier)))
    assert abs(found[2] - float(contrastive_loss(*given[2], 0.3))) > 0.1


def test_remembered_responses_have_no_gradient_and_those_of_the_batch_have() -> None:
    model = model_of(memory=8)
    (images, first), (others, second) = batches(2)
    model.compare(images, first.requires_grad_())
    model.compare(others, second.requires_grad_()).backward()
    assert first.grad is None
    assert second.grad is not None


def test_an_epoch_begins_without_memory_and_evaluation_has_none() -> None:
    model = model_of(memory=8)
    first, second = batches(2)
    model.compare(*first)
    assert len(model.memory.held) == 3
    plain = pytest.approx(float(contrastive_loss(*second, 0.3)))
    assert float(model.eval().compare(*second)) == plain
    assert len(model.memory.held) == 3
    begin_epoch(model)
    assert model.training
    assert float(model.compare(*second)) == plain


def test_memory_serves_the_images_direction_alone() -> None:
    (first, second), memory = batches(2), 8
    model = model_of(memory=memory, direction="both")
    model.compare(*first)
    there = contrastive_loss(*second, 0.3, first[1])
    back = contrastive_loss(second[1], second[0], 0.3)
    assert float(model.compare(*second)) == pytest.approx(float(there + back) / 2)
