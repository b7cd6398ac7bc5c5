"""Networks of a user's file: its text travels with the trial, and its faults are one line."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orchestrator.sweep.spaces import start_from
from tests.builders.known_trials import ROI
from tests.builders.own_network import CODE, HALVES, planned_network
from trainables.models.backbone_facts import count_features, require_tunable, size_of
from trainables.models.backbones import build_scaled, load
from trainables.models.own_networks import MAX_SOURCE, with_source
from trainables.models.weights_name import weights_name
from trainables.spec import FROM_FILE, Backbone, Trial, Untuned
from trainables.spec.setting import setting_of


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    path = tmp_path / "nets" / "small.py"
    path.write_text(CODE)
    return path


@pytest.fixture
def backbone(file: Path, tmp_path: Path) -> Backbone:
    """The backbone as planning makes it; the file is then gone, as on another machine."""
    return planned_network(tmp_path)


def test_the_text_travels_in_the_trial_and_its_digest_is_in_the_id(backbone: Backbone) -> None:
    trial = Trial(Untuned(), (ROI,), backbone)
    again = Trial.from_json(trial.to_json())
    assert again == trial
    assert again.backbone.source == CODE
    assert backbone.architecture.startswith("small.py:build@")
    assert "source" not in setting_of(trial).values
    Path("small.py").write_text(f"{CODE}#")
    other = with_source(Backbone("small.py:build", FROM_FILE))
    assert Trial(Untuned(), (ROI,), other).id != trial.id


def test_a_network_is_built_from_the_text_alone(backbone: Backbone, tmp_path: Path) -> None:
    network = build_scaled(backbone)
    weights = tmp_path / "w.safetensors"
    save_file(network.state_dict(), weights)
    named = Backbone(backbone.architecture, weights_name(weights), HALVES, source=CODE)
    loaded = load(named, weights)
    assert torch.equal(loaded.maps.weight, network.maps.weight)
    assert size_of(backbone, 32).parameter_bytes == 4 * (6 * 48 + 6 + 10 * 384 + 10)
    with pytest.raises(ValueError, match=r"unknown layers \['map'\]; did you mean 'maps'"):
        count_features(backbone, ("map",), 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def build(:\n", r"small.py: SyntaxError: invalid syntax \(line 1\); it needs a function"),
        ("import no_such_module\n", r"ModuleNotFoundError: No module named .* \(line 1\)"),
        ("def make(): pass\n", r"small.py: has no function build\(\)"),
        ("def build():\n    return 3\n", r"build\(\) returned a int"),
        ("def build(width):\n    return width\n", "TypeError: .*missing 1 required"),
        ("def build():\n    x = 1\n    return x.y\n", r"AttributeError: .* \(line 3\)"),
        ("import sys\nsys.exit()\n", r"SystemExit:.* \(line 2\)"),
        ("#" * (MAX_SOURCE + 1), "expected at most 65,536 bytes of Python, found 65,537"),
        (None, r"small.py: no such file; name a backbone of your own as path/to/file.py:build"),
    ],
)
def test_a_fault_of_the_file_is_one_line(file: Path, text: str | None, message: str) -> None:
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        build_scaled(with_source(Backbone("nets/small.py:build", FROM_FILE)))
    assert "\n" not in str(caught.value)


def test_a_file_without_its_function_is_refused_with_the_name_of_both() -> None:
    for name in ("nets/small.py", "nets/small.py:Small()"):
        with pytest.raises(ValueError, match=r"a file and its function .* nets/small.py:build$"):
            start_from(Backbone(name, FROM_FILE), "sha256:0123")


MAPS = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Conv2d(3, 4, 3))\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MAPS, r"returned shape \(1, 4, 30, 30\) of float32: let it pool and flatten"),
        (MAPS.replace("nn.Conv2d(3, 4, 3)", "nn.Flatten()"), "has no weights"),
        (
            "from torch import nn\n"
            "class Net(nn.Conv2d):\n"
            "    def forward(self, x):\n        return (super().forward(x),)\n"
            "def build():\n    return Net(3, 4, 3)\n",
            "returned a tuple",
        ),
    ],
)
def test_what_returns_no_vector_of_an_image_can_not_be_tuned(
    file: Path, text: str, message: str
) -> None:
    file.write_text(text)
    backbone = with_source(Backbone("nets/small.py:build", FROM_FILE))
    for tune in ("all", "lora:2"):
        with pytest.raises(ValueError, match=message) as caught:
            require_tunable(backbone, tune, 32)
        assert "\n" not in str(caught.value)


SCALED = CODE.replace(
    "from torch import nn\n", "import torch\nfrom torch import nn\nS = torch.ones(3)\n"
)


def test_tensors_of_the_file_are_where_the_network_is(tmp_path: Path) -> None:
    code = SCALED.replace("self.maps(images)", "self.maps(images * S.view(1, 3, 1, 1))")
    backbone = planned_network(tmp_path, code)
    for _ in range(2):  # a check computes nothing, before and after a network is built
        with torch.device("meta"):
            assert build_scaled(backbone)(torch.zeros(2, 3, 32, 32)).is_meta
        assert build_scaled(backbone)(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_a_changed_text_and_published_weights_are_refused(backbone: Backbone) -> None:
    with pytest.raises(ValueError, match="the digest of its source is"):
        Backbone(backbone.architecture, FROM_FILE, source=CODE + "x = 1\n")
    named = Backbone(backbone.architecture, "IMAGENET1K_V1", source=CODE)
    with pytest.raises(ValueError, match=r"unknown weights .* FROM_FILE and --weights FILE"):
        load(named)
