"""The stand-in for pretrained weights: complete, reproducible, made once."""

from dataclasses import replace

import pytest
import torch

from orchestrator.ingest.simulate.pretrained_weights import (
    PretrainingSettings,
    make_weights,
    read_accuracy,
)
from trainables.models import backbones
from trainables.models.weights_name import weights_name
from trainables.spec import Backbone

TINY = PretrainingSettings(n_train=16, n_test=8, epochs=1, batch_size=8, n_threads=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return make_weights(tmp_path_factory.mktemp("weights") / "narrow.safetensors", TINY)


def test_the_weights_fit_the_backbone_with_all_its_outputs(weights):
    network = backbones.load(Backbone("narrow-alexnet", weights_name(weights)), weights)
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)


def test_the_same_settings_give_the_same_bytes(weights, tmp_path):
    for number in range(4):  # more than one key of metadata would come in another order each time
        again = make_weights(tmp_path / f"again-{number}.safetensors", TINY)
        assert again.read_bytes() == weights.read_bytes()


def test_weights_that_are_there_are_not_made_again(weights):
    before = weights.stat().st_mtime_ns
    make_weights(weights, TINY)
    assert weights.stat().st_mtime_ns == before


def test_weights_of_other_settings_are_refused(weights):
    with pytest.raises(
        ValueError, match=r"expected weights of .*seed.: 1.*found those of .*seed.: 0"
    ):
        make_weights(weights, replace(TINY, seed=1))


def test_another_file_in_the_way_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_text("mine")
    with pytest.raises(ValueError, match="safetensors"):
        make_weights(path, TINY)


def test_torch_is_left_as_it_was_found(tmp_path):
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    make_weights(tmp_path / "new.safetensors", TINY)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    torch.testing.assert_close(torch.random.get_rng_state(), state)


def test_the_test_accuracy_is_kept_with_the_weights(weights):
    assert 0 <= read_accuracy(weights) <= 1
