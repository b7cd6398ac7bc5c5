"""Facts about backbones: found once, kept on disk, and found again when anything changes."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.builders.tiny_backbone import tiny_backbone
from trainables.models import backbone_facts, backbones, measurement
from trainables.models.backbone_facts import count_features, has_weights, size_of
from trainables.models.weights_name import weights_name
from trainables.spec import Backbone

NAME = "narrow-alexnet"
SIZE = 64
LAYERS = ("features.5", "classifier.5")
N_FEATURES = 96 * 3 * 3 + 256


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the facts, which has none yet."""
    monkeypatch.setenv("CORTEX_SWEEP_CACHE", str(tmp_path / "cache"))
    forget()
    return tmp_path / "cache" / "cortex-sweep" / "backbones"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_file(backbones.build(NAME).state_dict(), path)
    return path


def forget() -> None:
    """Forget what this process knows, as a new one."""
    size_of.cache_clear()
    count_features.cache_clear()
    backbone_facts._versions.cache_clear()


def known(monkeypatch: pytest.MonkeyPatch, ask: Callable[[], object]) -> bool:
    """Return whether a new process finds an answer without a network."""
    forget()

    def refuse(*_: object) -> None:
        raise LookupError

    with monkeypatch.context() as without:
        for module, name in ((measurement, "measure_backbone"), (backbones, "check_layers")):
            without.setattr(module, name, refuse)
        without.setattr(backbones, "load", refuse)
        try:
            ask()
        except LookupError:
            return False
    return True


def size() -> object:
    return size_of(Backbone(NAME), SIZE)


def layers() -> int:
    return count_features(Backbone(NAME), LAYERS, SIZE)


def test_what_was_found_is_kept(facts, weights, monkeypatch) -> None:
    backbone = Backbone(NAME, weights_name(weights))
    asked = (size, layers, lambda: has_weights(backbone, weights))
    assert [known(monkeypatch, ask) for ask in asked] == [False] * 3
    answers = [ask() for ask in asked]
    assert answers == [measurement.measure_backbone(Backbone(NAME), SIZE), N_FEATURES, True]
    assert [known(monkeypatch, ask) for ask in asked] == [True] * 3
    assert [ask() for ask in asked] == answers
    others = (
        lambda: size_of(Backbone(NAME), 96),
        lambda: count_features(Backbone(NAME), LAYERS, 96),
    )
    assert [known(monkeypatch, ask) for ask in others] == [False] * 2


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"flops": 1}', b"7" * 5000, None])
def test_a_damaged_fact_is_found_again(facts, monkeypatch, content) -> None:
    answer = size()
    [file] = facts.iterdir()
    if content is None:
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes(content)
    assert not known(monkeypatch, size)
    assert size() == answer
    assert known(monkeypatch, size) == (content is not None)  # nobody replaces a directory


@pytest.mark.parametrize("part", ["torch", "torchvision", "code"])
def test_another_version_finds_again(facts, monkeypatch, part) -> None:
    size()
    assert known(monkeypatch, size)
    if part == "code":
        monkeypatch.setattr(backbone_facts, "hash_file", lambda _: "changed")
    else:
        found = backbone_facts.version
        monkeypatch.setattr(
            backbone_facts, "version", lambda name: "99" if name == part else found(name)
        )
    assert not known(monkeypatch, size)


def test_a_refusal_is_not_kept(facts, weights, monkeypatch) -> None:
    state = backbones.build(NAME).state_dict()
    state["features.0.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, weights)
    backbone = Backbone(NAME, weights_name(weights))
    for _ in range(2):
        with pytest.raises(ValueError, match="unknown layers"):
            count_features(Backbone(NAME), ("no.such",), SIZE)
        with pytest.raises(ValueError, match="weights hold NaN"):
            has_weights(backbone, weights)
    assert not facts.exists()


def test_other_weights_are_checked_again(facts, weights, monkeypatch) -> None:
    backbone = Backbone(NAME, weights_name(weights))
    assert has_weights(backbone, weights)
    with pytest.raises(ValueError, match="found none"):
        has_weights(backbone, None)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    times = weights.stat()
    weights.write_bytes(content)
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # as a careless copy would
    with pytest.raises(ValueError, match="its content is"):
        has_weights(backbone, weights)


def test_the_backbones_of_a_test_or_a_space_are_not_kept(facts, monkeypatch) -> None:
    monkeypatch.setitem(backbones.OWN_ARCHITECTURES, "tiny", tiny_backbone)
    size_of(Backbone("tiny"), 32)
    assert not facts.exists()


def test_a_cache_that_cannot_be_written_changes_nothing(facts, tmp_path, monkeypatch) -> None:
    (tmp_path / "cache").write_text("a file")
    assert size() == measurement.measure_backbone(Backbone(NAME), SIZE)
    layers()
