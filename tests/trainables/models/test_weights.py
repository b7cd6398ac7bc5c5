"""Weights in the forms that people have: loaded, or refused with the entry and the cure."""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from trainables.models.backbones import build, cached_file, load, published_weights
from trainables.models.weights import fit, read_state
from trainables.spec import Backbone

State = dict[str, Tensor]


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 10))


STATE: State = dict(network().state_dict())


def with_entry(name: str, value: Tensor) -> State:
    return {**STATE, name: value}


def loaded(path: Path) -> State:
    """Read and fit a file as a worker does, and load it."""
    target = network()
    target.load_state_dict(fit(read_state(path), target, f"{path}: does not fit"))
    return dict(target.state_dict())


def without_counters() -> State:
    return {name: value for name, value in STATE.items() if "num_batches" not in name}


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def strided(value: Tensor) -> Tensor:
    return torch.stack([value, value], -1)[..., 0]


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        without_counters(),
        {f"module.{name}": value for name, value in STATE.items()},
        {f"_orig_mod.module.{name}": value for name, value in STATE.items()},
        {"epoch": 90, "state_dict": {f"module.{name}": value for name, value in STATE.items()}},
        {"model": STATE, "optimizer": {"lr": 0.1, "state": {0: torch.ones(2)}}, "args": ["a"]},
        {"model_state_dict": STATE, "best": 0.5},
        {name: strided(value) for name, value in STATE.items()},
        {f"backbone.{name}": value for name, value in STATE.items()},
        {"model": prefixed("encoder.", STATE)},
        {  # Lightning: the loss has a weight too, and there are callbacks
            "epoch": 3,
            "pytorch-lightning_version": "2.4",
            "state_dict": {**prefixed("model.backbone.", STATE), "criterion.weight": torch.ones(3)},
            "callbacks": {"ModelCheckpoint": {"best_model_score": torch.ones(())}},
            "hyper_parameters": {"learning_rate": 0.1},
        },
        {  # timm: the average is taken
            "arch": "r",
            "args": argparse.Namespace(lr=0.1),
            "state_dict": {name: torch.zeros_like(value) for name, value in STATE.items()},
            "state_dict_ema": STATE,
        },
        {  # DINO: the teacher's backbone, without its head
            "student": prefixed("module.backbone.", {n: 0 * v for n, v in STATE.items()}),
            "teacher": {**prefixed("backbone.", STATE), "head.mlp.0.weight": torch.ones(9, 4)},
        },
        {  # MoCo: the encoder of queries; keys and queue are left out
            "state_dict": {
                **prefixed("module.encoder_q.", STATE),
                **prefixed("module.encoder_k.", {n: 0 * v for n, v in STATE.items()}),
                "module.queue": torch.ones(4, 8) > 0,
            }
        },
        {name: nn.Parameter(v) if v.is_floating_point() else v for name, v in STATE.items()},
    ],
    ids=range(15),
)
def test_a_state_dict_loads_in_every_usual_form(tmp_path, content) -> None:
    torch.save(content, tmp_path / "w.pt")
    found = loaded(tmp_path / "w.pt")
    assert all(torch.equal(value, STATE[name]) for name, value in found.items())


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("ending", ["pt", "safetensors"])
def test_other_floating_point_types_load_as_float32(tmp_path, kind, ending) -> None:
    content = {n: v.to(kind) if v.is_floating_point() else v for n, v in STATE.items()}
    path = tmp_path / f"w.{ending}"
    if ending == "pt":
        torch.save(content, path)
    else:
        save_file(content, path)
    found = loaded(path)
    assert {value.dtype for value in found.values()} == {torch.float32, torch.int64}
    assert all(torch.allclose(value, STATE[name], atol=1e-2) for name, value in found.items())


def test_tensors_that_share_storage_load(tmp_path) -> None:
    whole = torch.arange(24.0)
    content = {"a.weight": whole[:12].view(3, 4), "a.bias": whole[6:9]}
    torch.save(content, tmp_path / "w.pt")
    target = nn.Sequential()
    target.add_module("a", nn.Linear(4, 3))
    state = fit(read_state(tmp_path / "w.pt"), target, "w")
    assert all(torch.equal(state[name], value) for name, value in content.items())


WEIGHT = STATE["0.weight"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_entry("0.weight", WEIGHT.to_sparse()), "'0.weight' is of the layout sparse_coo; exp"),
        (with_entry("3.weight", STATE["3.weight"].to_sparse_csr()), "layout sparse_csr; expected"),
        (with_entry("0.weight", WEIGHT.to("meta")), "'0.weight' has no values (it is on the dev"),
        (
            with_entry("0.weight", torch.quantize_per_tensor(WEIGHT, 0.1, 0, torch.qint8)),
            "'0.weight' is quantized; expected floating-point values",
        ),
        (
            with_entry("0.weight", WEIGHT.to(torch.complex64)),
            "'0.weight' is of complex64; expected",
        ),
        (with_entry("0.weight", WEIGHT > 0), "'0.weight' is of bool; expected floating-point"),
        (with_entry("0.weight", (9 * WEIGHT).int()), "'0.weight' is of int32; expected floating"),
        (
            with_entry("0.weight", WEIGHT * torch.nan),
            "weights hold NaN in 1 of 9 entries, first '0",
        ),
        (with_entry("1.running_var", torch.full((4,), torch.inf)), "weights hold infinite values"),
        (with_entry("0.weight", WEIGHT.double() * 1e300), "weights hold infinite values in 1 of 9"),
        (
            {**STATE, "3.weight": torch.zeros(365, 16), "3.bias": torch.zeros(365)},
            "only its head '3' differs ('3.bias': expected (10,), found (365,)); give weights with",
        ),
        (
            with_entry("0.weight", torch.zeros(4, 1, 3, 3)),
            "1 of 9 entries differ, first '0.weight': exp",
        ),
        (
            {**STATE, "extra": torch.zeros(1)},
            "1 of 10 entries differ, first 'extra': expected nothing, found (1,); give",
        ),
        (
            prefixed("backbone.", {**STATE, "3.0.weight": torch.ones(4, 16)}),
            "only its head '3' differs ('3.0.weight': expected nothing, found (4, 16)); give",
        ),
        (
            prefixed("module.encoder_q.", {n: v for n, v in STATE.items() if n[0] != "3"}),
            "only its head '3' differs ('3.bias': expected (10,), found nothing); give weights",
        ),
        (
            {**prefixed("backbone.", STATE), "backbone.extra": torch.zeros(1)},
            "1 of 10 entries differ, first 'extra': expected nothing, found (1,); give",
        ),
        ({"a": STATE, "b": 1}, "expected a dict of tensors, found a dict of 'a', 'b'; save"),
        (
            {"model": STATE, "state_dict": STATE},
            "expected a dict of tensors, found entries model, ",
        ),
        (
            {"state_dict": {"a": 1}},
            "expected a dict of tensors, found a dict of 'state_dict'; save",
        ),
        ({}, "expected a dict of tensors, found a dict; save"),
        ({0: WEIGHT}, "expected a dict of tensors, found a dict of 0; save"),
        (list(STATE.values()), "expected a dict of tensors, found a list; save"),
        (None, "expected a dict of tensors, found a NoneType; save"),
    ],
)
def test_what_is_no_usable_weight_is_refused_in_one_line(tmp_path, content, message) -> None:
    path = tmp_path / "w.pt"
    torch.save(content, path)
    with pytest.raises(ValueError) as refusal:
        loaded(path)
    text = str(refusal.value)
    assert text.startswith(f"{path}: ")
    assert message in text
    assert "\n" not in text


def in_old_names(state: State) -> State:
    """Name entries as the published files of DenseNet do, without BatchNorm's counters."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
    return {old.sub(r"\1.\2.", n): v for n, v in state.items() if "num_batches" not in n}


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """An empty directory of downloads, without a network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def put(hub: Path, backbone: Backbone, write: Callable[[Path], object]) -> Path:
    path = cached_file(published_weights(backbone))
    assert path.parent == hub / "checkpoints"
    write(path)
    return path


def test_densenet_loads_from_the_names_of_its_published_file(hub) -> None:
    backbone = Backbone("densenet121")
    state = models.densenet121(weights=None).state_dict()
    put(hub, backbone, lambda path: torch.save(in_old_names(state), path))
    found = load(backbone).state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_a_damaged_download_is_refused_by_name(hub) -> None:
    path = put(hub, Backbone(), lambda path: path.write_bytes(b"junk"))
    with pytest.raises(
        ValueError, match=r": not a readable file of the weights .*; remove it$"
    ) as e:
        load(Backbone())
    assert str(e.value).startswith(f"{path}: ")
    path.unlink()
    with pytest.raises(ValueError, match=r"alexnet: its weights .* could not be downloaded \(no n"):
        load(Backbone())


def test_a_download_runs_no_code(hub, tmp_path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
            return Path.touch, (tmp_path / "touched",)

    put(hub, Backbone(), lambda path: torch.save({"a": Bomb()}, path))
    with pytest.raises(ValueError, match="not a readable file of the weights"):
        load(Backbone())
    assert not (tmp_path / "touched").exists()


def test_names_of_published_weights_are_known_for_every_architecture() -> None:
    assert published_weights(Backbone("densenet121")).url.startswith("https://")
    assert build("narrow-alexnet") is not None
    with pytest.raises(
        ValueError, match="for narrow-alexnet; expected FROM_FILE and --weights FILE"
    ):
        published_weights(Backbone("narrow-alexnet"))
