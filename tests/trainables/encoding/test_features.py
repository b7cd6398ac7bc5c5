import copy
from collections.abc import Iterator
from pathlib import Path
from types import MethodType

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import AlexNet

from trainables.compute.precision import full_float32
from trainables.encoding import features as features_module
from trainables.encoding import linear_tail
from trainables.encoding.features import FeatureStore, Storage, extract
from trainables.encoding.linear_tail import LinearTail
from trainables.models.backbones import build
from trainables.models.layers import layer_extractor
from trainables.models.normalisation import normalise
from trainables.spec import ALEXNET_LAYERS

CPU = torch.device("cpu")
ENOUGH = 2**30


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build("narrow-alexnet").eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (10, 3, 64, 64), dtype=torch.uint8, generator=generator)


def in_memory(path: Path) -> Storage:
    return Storage(CPU, ENOUGH, path)


def whole(store: FeatureStore, layer: str) -> Tensor:
    return torch.cat(list(store.columns(layer)), dim=1)


def test_one_pass_gives_every_layer_as_its_own_pass_does(network, images, tmp_path) -> None:
    store = extract(network, ALEXNET_LAYERS, images.split(4), 10, in_memory(tmp_path))
    assert store.layers == ALEXNET_LAYERS
    assert not store.is_on_disk
    for layer in ALEXNET_LAYERS:
        with torch.no_grad():
            alone = layer_extractor(network, [layer])(normalise(images))[layer].flatten(1)
        torch.testing.assert_close(whole(store, layer), alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 5, 8, 10, 11])
def test_fully_connected_layers_are_the_same_however_many_images_they_take(
    rows, network, images, tmp_path, monkeypatch
) -> None:
    expected = extract(network, ALEXNET_LAYERS, images.split(10), 10, in_memory(tmp_path))
    monkeypatch.setattr(linear_tail, "ROWS", rows)
    sizes, linear = [], network.classifier[1]
    handle = linear.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    layers = ("classifier.6", "features.12", "classifier.2", "avgpool")
    try:
        found = extract(network, layers, images.split(4), 10, in_memory(tmp_path))
    finally:
        handle.remove()
    assert found.layers == layers
    assert sizes[1:] == {1: [4, 4, 2], 5: [8, 2], 8: [8, 2], 10: [10], 11: [10]}[rows]
    for layer in ("classifier.6", "features.12", "classifier.2"):
        torch.testing.assert_close(
            whole(found, layer), whole(expected, layer), rtol=1e-5, atol=1e-6
        )
    assert whole(found, "avgpool").shape == (10, linear.in_features)


def test_a_network_that_ends_otherwise_has_no_tail() -> None:
    assert LinearTail.of(build("resnet18"), ["fc"]) is None
    network = build("narrow-alexnet")
    assert LinearTail.of(network, ["features.2", "classifier"]) is None
    network.classifier[2] = nn.Softmax(dim=0)
    assert LinearTail.of(network, ["classifier.6"]) is None
    network.classifier = nn.Linear(8, 2)
    assert LinearTail.of(network, ["classifier.6"]) is None


class Normalised(AlexNet):
    """Normalises what the fully connected layers are given."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.classifier(nn.functional.normalize(self.avgpool(self.features(x)).flatten(1)))


@pytest.mark.parametrize("is_subclass", [True, False])
def test_a_network_with_a_forward_of_its_own_has_the_features_of_its_forward(
    is_subclass, network, images, tmp_path
) -> None:
    layers, own = ("classifier.1",), copy.deepcopy(network)
    if is_subclass:
        own.__class__ = Normalised
    else:
        own.forward = MethodType(Normalised.forward, own)
    with torch.no_grad():
        maps = own.avgpool(own.features(normalise(images)))
        expected = own.classifier[:2](nn.functional.normalize(maps.flatten(1)))
    for one, is_same in ((own, True), (network, False)):
        found = whole(extract(one, layers, images.split(4), 10, in_memory(tmp_path)), layers[0])
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5) == is_same


def test_each_image_passes_through_the_backbone_once(network, images, tmp_path) -> None:
    n_overlap = 0

    def count(_: nn.Module, inputs: tuple[Tensor], __: Tensor) -> None:
        nonlocal n_overlap
        n_overlap += len(inputs[0])

    handle = network.features[0].register_forward_hook(count)
    try:
        extract(network, ALEXNET_LAYERS, images.split(4), 10, in_memory(tmp_path)).close()
    finally:
        handle.remove()
    assert n_overlap == 10


def test_on_disk_features_equal_those_in_memory_bit_for_bit(network, images, tmp_path) -> None:
    kept = extract(network, ALEXNET_LAYERS, images.split(4), 10, in_memory(tmp_path))
    with extract(
        network, ALEXNET_LAYERS, images.split(4), 10, Storage(CPU, 0, tmp_path)
    ) as directory:
        assert directory.is_on_disk
        for layer in ALEXNET_LAYERS:
            assert torch.equal(whole(directory, layer), whole(kept, layer))


def test_features_that_just_fit_the_budget_stay_in_memory(network, images, tmp_path) -> None:
    n_bytes = 4 * 10 * (256 + 1000)
    layers = ("classifier.5", "classifier.6")
    for budget, is_on_disk in ((n_bytes, False), (n_bytes - 1, True)):
        storage = Storage(CPU, budget, tmp_path)
        with extract(network, layers, images.split(5), 10, storage) as store:
            assert store.is_on_disk == is_on_disk


def test_a_scratch_file_has_no_name(network, images, tmp_path) -> None:
    scratch = tmp_path / "not" / "yet" / "there"
    with extract(network, ["features.2"], images.split(5), 10, Storage(CPU, 0, scratch)):
        assert list(scratch.iterdir()) == []  # nor while it is used: a kill leaves nothing
    assert list(scratch.iterdir()) == []


def test_scratch_files_are_gone_when_the_images_stop_coming(network, images, tmp_path) -> None:
    def broken() -> Iterator[Tensor]:
        yield images[:5]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        extract(network, ["features.2"], broken(), 10, Storage(CPU, 0, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_columns_come_in_bounded_chunks(network, images, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(features_module, "CHUNK_BYTES", 4 * 10 * 100)
    monkeypatch.setattr(features_module, "MIN_COLUMNS", 1)
    with extract(network, ["classifier.5"], images.split(5), 10, in_memory(tmp_path)) as store:
        widths = [chunk.shape[1] for chunk in store.columns("classifier.5")]
    assert widths == [100, 100, 56]


@pytest.mark.parametrize(("n_expected", "said"), [(9, "10 or more"), (11, "hold 10;"), (0, "0")])
def test_another_number_of_images_than_promised_raises(
    network, images, tmp_path, n_expected, said
) -> None:
    batches = images.split(4) if n_expected else ()
    with pytest.raises(ValueError, match=f"expected {n_expected} images.*{said}"):
        extract(network, ["features.2"], batches, n_expected, Storage(CPU, 0, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_unknown_layer_raises_and_names_the_known(network, images, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"unknown layers \['features.99'\].*features.9'"):
        extract(network, ["features.99"], images.split(5), 10, in_memory(tmp_path))


def test_a_relu_in_place_does_not_overwrite_the_layer_before_it(network, images, tmp_path) -> None:
    with extract(network, ["features.0"], images.split(5), 10, in_memory(tmp_path)) as store:
        assert whole(store, "features.0").min() < 0
    assert network.features[1].inplace


def test_dropout_is_off_and_no_gradient_is_kept(images, tmp_path) -> None:
    network = build("narrow-alexnet").train()
    passes = [
        whole(extract(network, ["classifier.5"], images.split(5), 10, in_memory(tmp_path)), layer)
        for layer in ["classifier.5"] * 2
    ]
    assert torch.equal(*passes)
    assert not passes[0].requires_grad


def test_fast_modes_are_off_within_and_back_after() -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        with full_float32():
            assert torch.backends.cuda.matmul.fp32_precision == "ieee"
            assert torch.backends.cudnn.conv.fp32_precision == "ieee"
            assert torch.backends.mkldnn.matmul.fp32_precision == "ieee"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
