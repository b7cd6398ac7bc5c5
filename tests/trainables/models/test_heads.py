"""The readouts and the shared head: sizes, sharing, biases, seeds."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.builders.tiny_backbone import tiny_backbone
from trainables.models.call_order import count_logits
from trainables.models.finetuned import build_model
from trainables.models.heads import ContrastiveModel, RegressionModel, SharedHead, project_batch
from trainables.models.losses import contrastive_loss
from trainables.models.normalisation import normalise
from trainables.models.widths import MIN_WIDTH
from trainables.spec import Contrastive, Regression

N_LOGITS = 7


def contrastive(n_vertices: int, seed: int = 0, objective: Contrastive | None = None):
    model = build_model(
        objective or Contrastive(),
        tiny_backbone(16, n_logits=N_LOGITS, dropout=0.0),
        16,
        [n_vertices],
        seed,
    )
    assert isinstance(model, ContrastiveModel)
    return model


def some_images(n: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize(
    ("n_vertices", "hidden", "embedding"),
    [(595, 476, 119), (704, 563, 140), (11, 8, 2), (4, 3, 2), (2, 2, 2), (1, 2, 2)],
)
def test_widths_are_the_paper_s_shares_rounded_down_but_never_below_two(
    n_vertices, hidden, embedding
) -> None:
    model = contrastive(n_vertices)
    assert MIN_WIDTH == 2
    assert model.image_readout.weight.shape == (hidden, N_LOGITS)
    assert model.response_readout.weight.shape == (hidden, n_vertices)
    assert model.head[0].weight.shape == (hidden, hidden)
    assert model.head[-1].weight.shape == (embedding, hidden)


def test_ratios_of_the_objective_set_the_widths() -> None:
    model = contrastive(100, objective=Contrastive(hidden_ratio=0.25, embedding_ratio=0.1))
    assert (model.head[0].in_features, model.head[-1].out_features) == (25, 10)


def test_the_head_is_linear_norm_relu_twice_and_then_linear() -> None:
    kinds = [type(module) for module in contrastive(20).head]
    block = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds == [*block, *block, nn.Linear]


def test_only_the_head_s_two_hidden_layers_have_biases() -> None:
    model = contrastive(20)
    assert model.image_readout.bias is None
    assert model.response_readout.bias is None
    assert [m.bias is not None for m in model.head if isinstance(m, nn.Linear)] == [
        True,
        True,
        False,
    ]


def test_images_and_responses_pass_through_the_same_head() -> None:
    model = contrastive(20)
    seen: list[int] = []
    model.head.register_forward_hook(lambda module, *_: seen.append(id(module)))
    model.embed_images(some_images())
    model.embed_responses(torch.randn(5, 20))
    assert seen == [id(model.head)] * 2
    heads = [name for name, _ in model.named_parameters() if name.startswith("head.")]
    assert len(heads) == 9  # one set: 3 weights and 2 biases of maps, 2 x 2 of norms


def test_both_sides_send_gradients_into_the_head() -> None:
    for side in ("images", "responses"):
        model = contrastive(20)
        embedded = (
            model.embed_images(some_images())
            if side == "images"
            else model.embed_responses(torch.randn(5, 20))
        )
        embedded.square().sum().backward()
        assert model.head[0].weight.grad.abs().sum() > 0


def test_the_contrastive_loss_reaches_every_parameter_of_backbone_and_readouts() -> None:
    model = contrastive(20)
    model.loss(some_images(), torch.randn(5, 20)).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_model_s_loss_is_that_of_its_embeddings_at_its_temperature() -> None:
    model = contrastive(20, objective=Contrastive(temperature=0.07)).eval()
    images, responses = some_images(), torch.randn(5, 20)
    expected = contrastive_loss(
        model.embed_images(images), model.embed_responses(responses), temperature=0.07
    )
    torch.testing.assert_close(model.loss(images, responses), expected)


def test_images_are_normalised_before_the_backbone() -> None:
    model = build_model(
        Regression(), tiny_backbone(16, n_logits=N_LOGITS, dropout=0.0), 16, [4], seed=0
    )
    images = some_images()
    expected = model.readout(model.backbone(normalise(images)))
    torch.testing.assert_close(model.embed_images(images), expected)


def test_regression_is_one_linear_map_with_bias_under_mean_squared_error() -> None:
    model = build_model(
        Regression(), tiny_backbone(16, n_logits=N_LOGITS, dropout=0.0), 16, [6], seed=0
    )
    assert isinstance(model, RegressionModel)
    assert model.readout.weight.shape == (6, N_LOGITS)
    assert model.readout.bias is not None
    responses = torch.randn(5, 6)
    expected = functional.mse_loss(model.embed_images(some_images()), responses)
    torch.testing.assert_close(model.loss(some_images(), responses), expected)
    assert model.embed_responses(responses) is responses


def differs(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return any(not torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("objective", [Contrastive(), Regression()])
def test_a_seed_makes_the_same_weights_and_another_seed_others(objective) -> None:
    first, again, other = (
        build_model(objective, tiny_backbone(16, n_logits=N_LOGITS, dropout=0.0), 16, [9], s)
        for s in (3, 3, 4)
    )
    assert not differs(first, again)
    assert differs(first, other)


def test_building_a_model_draws_nothing_from_the_global_generator() -> None:
    before = torch.random.get_rng_state()
    contrastive(20, seed=5)
    assert torch.equal(before, torch.random.get_rng_state())


def test_weights_do_not_depend_on_the_global_generator() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = contrastive(9)
        torch.manual_seed(2)
        assert not differs(first, contrastive(9))


def test_an_image_size_that_the_backbone_does_not_take_is_refused_with_the_size() -> None:
    with pytest.raises(ValueError, match=r"does not accept images of 4 x 4 pixels .*--image-size"):
        build_model(Regression(), tiny_backbone(16, n_logits=N_LOGITS, dropout=0.0), 4, [6], seed=0)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("no memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
        torch.AcceleratorError("CUDA error: unspecified launch failure"),
    ],
    ids=str,
)
def test_an_error_of_a_gpu_is_not_taken_for_an_image_size_that_the_backbone_does_not_take(
    error: Exception,
) -> None:
    class Failing(nn.Linear):
        def forward(self, images: Tensor) -> Tensor:
            raise error

    with pytest.raises(type(error), match=str(error)[:10]):
        count_logits(Failing(2, 2), 16)


@pytest.mark.parametrize("training", [True, False])
def test_counting_logits_leaves_the_backbone_s_mode_and_state(training) -> None:
    backbone = nn.Sequential(
        tiny_backbone(16, n_logits=N_LOGITS, dropout=0.0), nn.BatchNorm1d(N_LOGITS)
    ).train(training)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert count_logits(backbone, 16) == N_LOGITS
    assert backbone.training is training
    assert all(torch.equal(before[name], value) for name, value in backbone.state_dict().items())


def test_a_refused_image_size_leaves_the_backbone_s_mode() -> None:
    backbone = tiny_backbone(16, n_logits=N_LOGITS, dropout=0.0).train()
    with pytest.raises(ValueError, match="4 x 4"):
        count_logits(backbone, 4)
    assert backbone.training


def test_what_was_not_trained_on_is_projected_as_a_batch_in_training_is() -> None:
    head = SharedHead(12, 5).train()
    readouts = torch.randn(9, 12) * 3 + 2
    expected = copy.deepcopy(head)(readouts)
    before = copy.deepcopy(head.state_dict())
    torch.testing.assert_close(project_batch(head.eval(), readouts), expected)
    assert all(torch.equal(before[name], value) for name, value in head.state_dict().items())
