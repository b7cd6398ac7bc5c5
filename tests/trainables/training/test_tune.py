"""Tuning a part of a backbone: what is frozen stays to the bit, and checkpoints are plain."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch
from peft.tuners import lora
from torch import Tensor, nn

from tests.builders.small_networks import NETWORKS, network_of
from tests.builders.tiny_finetuning import (
    CONTRASTIVE,
    CPU,
    REGRESSION,
    Listener,
    assert_same,
    planted,
)
from trainables.exceptions import Stopped
from trainables.models.tuning import check_tune, tune_backbone
from trainables.results.epoch_report import EpochReport
from trainables.spec import Contrastive, Finetuned, Pooled, SelfSupervised
from trainables.storage.stored_directory import StoredDirectory
from trainables.training.batches import seeded
from trainables.training.checkpoints import Checkpoints, load_backbone
from trainables.training.distributed import SINGLE_PROCESS
from trainables.training.finetune import finetune, train_epoch
from trainables.training.microbatches import Microbatcher, can_be_split
from trainables.training.preparation import Training
from trainables.training.saved_state import weights_of
from trainables.training.synchronised import ForwardConfig, SharedModel

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE: Final = 16
IMAGES: Final = torch.rand(4, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
FAST: Final = replace(REGRESSION, learning_rate=0.01, epochs=2)
FROM: Final = {
    "cnn": ("from:4", r"[013]\."),
    "torchvision_vit": (
        "from:encoder.layers.encoder_layer_1",
        r"class_token|conv_proj|encoder.pos_embedding|encoder.layers.encoder_layer_0\.",
    ),
    "timm_vit": ("from:blocks.1", r"cls_token|pos_embed|patch_embed|blocks\.0\."),
    "timm_convnext": ("from:stages.2", r"stem|stages\.[01]\."),
}
"""Of each network a mode, and the pattern of what it freezes."""
LORA: Final = {
    "cnn": {"0.weight", "4.weight", "10.weight"},
    "torchvision_vit": {
        f"encoder.layers.encoder_layer_{number}.{one}"
        for number in (0, 1)
        for one in ("self_attention.in_proj_weight", "mlp.0.weight", "mlp.3.weight")
    },
    "timm_vit": {
        f"blocks.{number}.{one}.weight"
        for number in (0, 1)
        for one in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    },
    "timm_convnext": {
        "stem.0.weight",
        *(f"stages.{number}.downsample.1.weight" for number in (1, 2, 3)),
        *(f"stages.{n}.blocks.0.mlp.fc{one}.weight" for n in range(4) for one in (1, 2)),
        "head.fc.weight",
    },
}
"""Of each network the weights that low-rank adapters change."""


def copied(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def run(
    directory: Path, name: str, objective: Finetuned, listener: Listener | None = None
) -> tuple[dict[str, Tensor], tuple[EpochReport, ...]]:
    """Tune a small network; return its weights and the reports."""
    network = network_of(name)
    subjects = [planted()] if not isinstance(objective, Pooled) else [planted(), planted(seed=1)]
    checkpoints = Checkpoints(StoredDirectory(directory))
    history = finetune(objective, 0, network, subjects, checkpoints, listener or Listener())
    assert set(map(type, network.modules())) == set(map(type, network_of(name).modules()))
    assert all(one.grad is None for one in network.parameters())  # scoring needs their memory
    return copied(network), history


@pytest.mark.parametrize("name", NETWORKS)
def test_what_precedes_a_layer_is_frozen_to_the_bit_and_all_else_is_tuned(tmp_path, name) -> None:
    tune, frozen = FROM[name]
    before = copied(network_of(name))
    after, _ = run(tmp_path, name, replace(FAST, tune=tune))
    kept = {one for one in before if re.match(frozen, one)}
    assert changed(before, after) == before.keys() - kept
    whole, _ = run(tmp_path / "all", name, FAST)
    assert changed(before, whole) == before.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_adapters_change_the_weights_of_their_layers_by_products_of_their_rank(
    tmp_path, name
) -> None:
    before = copied(network_of(name))
    after, _ = run(tmp_path, name, replace(FAST, tune="lora:2"))
    assert changed(before, after) == LORA[name]
    for one in LORA[name]:
        change = (after[one] - before[one]).flatten(1).double().numpy()
        values = np.linalg.svd(change, compute_uv=False)
        assert values[2:].max(initial=0) < 1e-5 * values[0]
    saved = load_backbone(StoredDirectory(tmp_path))
    assert not changed(after, saved)


@pytest.mark.parametrize("name", NETWORKS)
def test_merged_weights_predict_as_the_adapters_do(name) -> None:
    training = Training.build(replace(FAST, tune="lora:3"), 0, network_of(name), [planted()])
    with seeded(0, 1, CPU):
        train_epoch(training, SharedModel(SINGLE_PROCESS, training.model), SINGLE_PROCESS, 1)
    adapted, plain, images = training.model.double(), network_of(name).double(), IMAGES.double()
    untuned = plain.eval()(images)
    own = {n: v for n, v in weights_of(adapted).items() if n.startswith("backbone.")}
    plain.load_state_dict({n.removeprefix("backbone."): value for n, value in own.items()})
    predicted = adapted.backbone.eval()(images)
    torch.testing.assert_close(plain(images), predicted, atol=1e-9, rtol=1e-9)
    assert (predicted - untuned).abs().max() > 1e-3


def test_adapters_are_merged_in_full_float32_while_training_and_after(
    tmp_path, monkeypatch
) -> None:
    seen: list[str] = []

    def watch(merge: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def watched(*args: object) -> Tensor:
            seen.append(torch.backends.cuda.matmul.fp32_precision)
            return merge(*args)

        return watched

    for kind in (lora.Linear, lora.Conv2d):
        monkeypatch.setattr(kind, "get_delta_weight", watch(kind.get_delta_weight))
    run(tmp_path, "cnn", replace(FAST, tune="lora:2"))
    assert len(seen) >= 2 * len(LORA["cnn"])  # of the last checkpoint, and for scoring
    assert set(seen) == {"ieee"}


@pytest.mark.parametrize("tune", ["from:4", "lora:2"])
@pytest.mark.parametrize(
    "objective",
    [
        CONTRASTIVE,
        Pooled(learning_rate=3e-3, batch_size=16, epochs=4, validation=0.2),
        SelfSupervised(batch_size=16, epochs=4, hidden_dim=8, embedding_dim=4),
    ],
    ids=lambda one: one.method,
)
def test_a_training_that_was_stopped_ends_as_an_undisturbed_one(tmp_path, objective, tune) -> None:
    objective = replace(objective, tune=tune)
    undisturbed = run(tmp_path / "undisturbed", "cnn", objective)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", "cnn", objective, Listener(stop_after=2))
    assert_same(run(tmp_path / "stopped", "cnn", objective), undisturbed)
    complete = run(tmp_path / "stopped", "cnn", objective, Listener(stop_after=1))
    assert_same(complete, undisturbed)  # nothing is left to train


def test_a_transformer_with_adapters_ends_alike_after_a_stop(tmp_path) -> None:
    objective = replace(CONTRASTIVE, tune="lora:2")
    undisturbed = run(tmp_path / "undisturbed", "torchvision_vit", objective)
    with pytest.raises(Stopped):
        run(tmp_path / "stopped", "torchvision_vit", objective, Listener(stop_after=3))
    assert_same(run(tmp_path / "stopped", "torchvision_vit", objective), undisturbed)


def test_adapters_are_drawn_from_the_seed_and_from_nothing_else() -> None:
    def drawn(seed: int) -> dict[str, Tensor]:
        adapters = tune_backbone(network_of("cnn"), "lora:2", SIZE, seed).adapters
        assert adapters is not None
        return adapters.state()

    before = torch.random.get_rng_state()
    first = drawn(3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not changed(first, drawn(3))
    assert all(".lora_A." in name for name in changed(first, drawn(4)))


def test_a_backbone_whose_batchnorm_is_frozen_is_passed_in_parts() -> None:
    for tune, expected in (("all", False), ("from:1", False), ("from:10", True), ("lora:2", True)):
        network = network_of("cnn")
        tune_backbone(network, tune, SIZE, 0)
        assert can_be_split(network) is expected


@pytest.mark.parametrize("name", ["cnn", "torchvision_vit"])
def test_adapters_have_the_gradients_of_the_whole_batch_in_parts(name) -> None:
    found = []
    for part in (None, 3):
        training = Training.build(replace(FAST, tune="lora:2"), 0, network_of(name), [planted()])
        training.model.train()
        training.tuned.keep_statistics()
        forward = ForwardConfig(Microbatcher(part) if part else None)
        shared, images = SharedModel(SINGLE_PROCESS, training.model, forward), planted().images
        with seeded(0, 1, CPU), shared.synchronised():
            batch = next(iter(images.batches(torch.arange(8), 8)))
            loss = shared.loss(training.model, batch, planted().responses[:8], 8)
            torch.autograd.backward(loss)
        of_backbone = training.model.backbone.parameters()
        found.append([loss.detach(), *(one.grad for one in of_backbone if one.requires_grad)])
    assert len(found[0]) > 6
    for whole, in_parts in zip(*found, strict=True):
        torch.testing.assert_close(in_parts, whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ("from:layer9", "tune from:layer9: unknown layer; this backbone has 0, 1, 2, 3, 4, "),
        ("from:conv_proj.0", "unknown layer"),
        ("from:11", "unknown layer"),
    ],
)
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tune, message) -> None:
    with pytest.raises(ValueError, match=message):
        check_tune(network_of("cnn"), tune, SIZE)


def test_what_leaves_nothing_to_tune_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE**2, 4), nn.ReLU())
    with pytest.raises(ValueError, match="from:2: no layer from there on has weights; name an ear"):
        check_tune(network, "from:2", SIZE)
    with pytest.raises(ValueError, match=r"lora:2: the backbone has no linear layer .*tune='all'"):
        check_tune(nn.Sequential(nn.Conv2d(3, 3, 1, groups=3), nn.Flatten()), "lora:2", SIZE)


def test_a_missing_peft_is_named_with_the_command_that_installs_it(monkeypatch) -> None:
    monkeypatch.setattr("trainables.models.backbone_facts.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"lora:2 needs the package peft.*'cortex-sweep\[lora\]'"):
        check_tune(network_of("cnn"), "lora:2", SIZE)


@pytest.mark.parametrize(
    "tune", ["", "none", "from:", "from:a b", "lora", "lora:0", "lora:-1", "lora:1025", "lora:08"]
)
def test_another_text_is_no_tune(tune) -> None:
    with pytest.raises(ValueError, match=r"^Contrastive.tune: expected 'all', 'from:LAYER', or "):
        Contrastive(tune=tune)
