"""Backbones by name: their layers, and weights that are checked before they are trusted."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import transforms
from torchvision.models import AlexNet_Weights
from torchvision.models.feature_extraction import get_graph_node_names

from trainables.models import backbones
from trainables.models.backbones import architectures, build, load
from trainables.models.layers import layer_extractor
from trainables.models.normalisation import normalise
from trainables.models.weights import read_state
from trainables.models.weights_name import weights_name
from trainables.spec import ALEXNET_LAYERS, Backbone
from trainables.spec.backbone import IMAGENET_MEAN, IMAGENET_STD


@pytest.fixture(scope="module")
def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build("narrow-alexnet").eval()


@pytest.fixture
def state(network) -> dict[str, Tensor]:
    return dict(network.state_dict())


def save(path: Path, state: dict[str, Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def load_file(path: Path) -> nn.Module:
    return load(Backbone("narrow-alexnet", weights_name(path)), path)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
def test_a_state_dict_loads_from_either_format(tmp_path, network, state, name) -> None:
    loaded = load_file(save(tmp_path / name, state))
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())


def test_a_state_dict_of_a_subclass_of_dict_loads(tmp_path, network) -> None:
    torch.save(network.state_dict(), tmp_path / "w.pt")  # an OrderedDict
    assert set(read_state(tmp_path / "w.pt")) == set(network.state_dict())


def test_weights_are_named_by_their_content(tmp_path, state) -> None:
    first = weights_name(save(tmp_path / "a.safetensors", state))
    again = weights_name(save(tmp_path / "b.safetensors", state))
    state["classifier.6.bias"] = state["classifier.6.bias"] + 1
    other = weights_name(save(tmp_path / "c.safetensors", state))
    assert first == again != other
    assert first.startswith("sha256:")
    assert len(first) == len("sha256:") + 16


class Attack:
    """Unpickled, this would touch a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin"])
@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_pickle_that_holds_code_is_refused_and_not_run(tmp_path, name, writer) -> None:
    path, target = tmp_path / name, tmp_path / "touched"
    if writer == "torch":
        torch.save({"weight": Attack(target)}, path)
    else:
        path.write_bytes(pickle.dumps(Attack(target)))
    with pytest.raises(ValueError, match=f"{name}: not a readable state dict .*save it with"):
        read_state(path)
    assert not target.exists()


def test_a_whole_saved_module_is_refused(tmp_path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"torch.save\(model.state_dict\(\), FILE\)"):
        read_state(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [[1, 2], {"a": {"b": torch.zeros(1)}}, {}, torch.ones(2)])
def test_what_is_no_dict_of_tensors_is_refused(tmp_path, content) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"w.pt: expected a dict of tensors, found .*; save model"):
        read_state(tmp_path / "w.pt")


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("content", [b"", b"junk" * 10])
def test_a_damaged_file_is_refused_by_name(tmp_path, name, content) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"{name}: not a readable state dict"):
        read_state(tmp_path / name)


def test_a_wrong_shape_is_reported_with_both_shapes(tmp_path, state) -> None:
    state["classifier.6.bias"] = torch.zeros(10)
    state["classifier.6.weight"] = torch.zeros(10, 256)
    path = save(tmp_path / "w.safetensors", state)
    with pytest.raises(
        ValueError,
        match=r"does not fit narrow-alexnet: only its head 'classifier.6' differs "
        r"\('classifier.6.bias': expected \(1000,\), found \(10,\)\); "
        r"give weights with a head of 1,000 classes",
    ):
        load_file(path)


def test_a_missing_and_an_extra_entry_are_reported(tmp_path, state) -> None:
    del state["features.0.bias"]
    path = save(tmp_path / "missing.safetensors", state)
    with pytest.raises(ValueError, match=r"'features.0.bias': expected \(32,\), found nothing"):
        load_file(path)
    state["features.0.bias"] = torch.zeros(32)
    state["a.new.one"] = torch.zeros(3)
    path = save(tmp_path / "extra.safetensors", state)
    with pytest.raises(ValueError, match=r"'a.new.one': expected nothing, found \(3,\)"):
        load_file(path)


def test_another_file_than_planned_is_refused_with_both_hashes(tmp_path, state) -> None:
    path = save(tmp_path / "w.safetensors", state)
    with pytest.raises(ValueError, match=rf"{weights_name(path)}, expected sha256:0123"):
        load(Backbone("narrow-alexnet", "sha256:0123"), path)


@pytest.mark.parametrize("path", [None, Path("absent.pt")])
def test_a_file_that_is_not_there_is_asked_for(path) -> None:
    with pytest.raises(ValueError, match="come from a file, found none; give --weights"):
        load(Backbone("narrow-alexnet", "sha256:0123"), path)


def test_an_unknown_backbone_is_refused_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'alexent'; .*narrow-alexnet; did you mean 'alexnet'\?$"):
        build("alexent")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("vit_base_patch16_224", "timm/vit_base_patch16_224"),
        ("timm/vit_bas_patch16_224", "timm/vit_base_patch16_224"),
        ("convnext_tinny", "convnext_tiny"),
    ],
)
def test_an_unknown_backbone_may_be_meant_of_timm(name: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"did you mean '{meant}'\?$"):
        build(name)


def test_a_detection_model_is_no_backbone() -> None:
    with pytest.raises(ValueError, match="unknown backbone"):
        build("fasterrcnn_resnet50_fpn")


def test_unknown_weights_are_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown weights 'V9' for alexnet; .*IMAGENET1K_V1"):
        load(Backbone("alexnet", "V9"))


def test_weights_by_name_of_our_own_backbone_are_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"narrow-alexnet.*--weights FILE"):
        load(Backbone("narrow-alexnet", "IMAGENET1K_V1"))


def test_weights_by_name_are_torchvision_s(monkeypatch, state) -> None:
    asked = []

    def offline(weights, **_):
        asked.append(weights)
        with torch.random.fork_rng():
            torch.manual_seed(3)
            return build("alexnet").state_dict()

    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", offline)
    load(Backbone())
    assert asked == [AlexNet_Weights.IMAGENET1K_V1]


def test_unknown_layers_are_refused_with_the_backbone_s_nodes(network) -> None:
    with pytest.raises(
        ValueError, match=r"unknown layers \['features.99'\]; did you mean 'features.9',"
    ):
        layer_extractor(network, ["features.2", "features.99"])


def test_normalise_is_torchvision_s_on_images_of_0_to_1() -> None:
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    expected = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)(images.float() / 255)
    torch.testing.assert_close(normalise(images), expected)
    assert normalise(images).dtype == torch.float32


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_normalise_is_four_passes_over_a_batch_in_any_layout(layout) -> None:
    images = torch.randint(0, 256, (5, 3, 9, 7), dtype=torch.uint8).contiguous(memory_format=layout)
    mean, std = (torch.tensor(one).view(1, 3, 1, 1) for one in (IMAGENET_MEAN, IMAGENET_STD))
    for some in (images, images[:1], images[:0], images[..., 1:6, 2:5]):
        found, expected = normalise(some), (some.float() / 255 - mean) / std
        assert torch.equal(found, expected)
        assert found.stride() == expected.stride()


def test_normalise_passes_gradients_to_pixels() -> None:
    pixels = torch.rand(2, 3, 4, 4, requires_grad=True)
    normalise(pixels).sum().backward()
    assert pixels.grad is not None
    expected = 1 / (255 * torch.tensor(IMAGENET_STD)).view(1, 3, 1, 1)
    torch.testing.assert_close(pixels.grad, expected.expand(2, 3, 4, 4))


def test_normalise_uses_the_published_mean_and_deviation() -> None:
    published = AlexNet_Weights.IMAGENET1K_V1.transforms()
    assert (list(IMAGENET_MEAN), list(IMAGENET_STD)) == (published.mean, published.std)


def test_the_narrow_backbone_has_every_layer_of_alexnet(network) -> None:
    assert set(ALEXNET_LAYERS) <= set(get_graph_node_names(network)[1])
    with torch.no_grad():
        activations = layer_extractor(network, ALEXNET_LAYERS)(torch.zeros(1, 3, 64, 64))
    assert tuple(activations) == ALEXNET_LAYERS
    assert activations["classifier.6"].shape == (1, 1000)


def test_the_narrow_backbone_has_alexnet_s_convolutions_with_half_their_channels(network) -> None:
    with torch.device("meta"):
        wide = build("alexnet")

    def geometry(one: nn.Module) -> list[tuple[object, ...]]:
        return [
            (part.kernel_size, part.stride, part.padding)
            for part in one.features
            if isinstance(part, nn.Conv2d | nn.MaxPool2d)
        ]

    def channels(one: nn.Module) -> list[int]:
        return [part.out_channels for part in one.features if isinstance(part, nn.Conv2d)]

    assert [type(part) for part in network.features] == [type(part) for part in wide.features]
    assert geometry(network) == geometry(wide)
    assert [2 * n for n in channels(network)] == channels(wide)
    assert {parameter.device.type for parameter in network.parameters()} == {"cpu"}


def test_alexnet_s_layers_have_the_paper_s_sizes() -> None:
    with torch.device("meta"):
        extractor = layer_extractor(build("alexnet"), ALEXNET_LAYERS)
        activations = extractor(torch.zeros(1, 3, 224, 224))
    sizes = {layer: values[0].numel() for layer, values in activations.items()}
    assert sizes == {
        "features.2": 46656,
        "features.5": 32448,
        "features.7": 64896,
        "features.9": 43264,
        "features.12": 9216,
        "classifier.2": 4096,
        "classifier.5": 4096,
        "classifier.6": 1000,
    }


def test_there_are_many_backbones_and_all_are_classifiers() -> None:
    found = architectures()
    assert found == sorted(set(found))
    assert len(found) >= 75
    assert not {"googlenet", "inception_v3"} & set(found)
    assert {"alexnet", "narrow-alexnet", "resnet50", "vit_b_16"} <= set(found)
    assert not any("rcnn" in name or "raft" in name for name in found)


@pytest.mark.parametrize("name", ["resnet18", "vgg11", "squeezenet1_0", "mobilenet_v2", "vit_b_16"])
def test_other_backbones_build_without_weights(name) -> None:
    with torch.device("meta"):
        network = backbones.build(name)
        assert network.eval()(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)
