"""Features that do not fit a GPU are passed again, layer group by layer group."""

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.builders.pretended_cuda import CUDA, pretended_cuda
from trainables.encoding.features import Storage, extract
from trainables.encoding.repeated_passes import read_features
from trainables.encoding.working_memory import FEATURE_BYTES, features_budget, matrix_bytes
from trainables.models.backbones import build

CPU = torch.device("cpu")
LAYERS = ("features.5", "classifier.2", "classifier.5", "classifier.6")
WIDTHS = (96 * 3 * 3, 256, 256, 1000)
N = 6


@cache
def network() -> nn.Module:
    torch.manual_seed(0)
    return build("narrow-alexnet").eval()


class Images:
    """Images that count how often they are read."""

    def __init__(self) -> None:
        self.network = deepcopy(network())
        torch.manual_seed(0)
        self.pixels = torch.randint(0, 256, (N, 3, 64, 64), dtype=torch.uint8)
        self.n_read = 0

    def batches(self) -> Iterator[Tensor]:
        for batch in self.pixels.split(4):
            self.n_read += len(batch)
            yield batch

    def layers(self, device: torch.device, room: int, home: Path) -> dict[str, Tensor]:
        storage = Storage(device, FEATURE_BYTES * N * room, home)
        with read_features(self.network, LAYERS, self.batches, N, storage) as features:
            assert [features.n_features(layer) for layer in LAYERS] == list(WIDTHS)
            return {
                layer: torch.cat([one.cpu() for one in features.columns(layer)], dim=1)
                for layer in LAYERS
            }


@pytest.fixture(scope="module")
def expected() -> dict[str, Tensor]:
    images = Images()
    storage = Storage(CPU, 2**30, Path())
    with extract(images.network, LAYERS, images.batches(), N, storage) as whole:
        return {layer: torch.cat(list(whole.columns(layer)), dim=1) for layer in LAYERS}


@pytest.mark.parametrize(
    ("room", "n_passes"),
    [(2376, 1), (2375, 2), (1512, 2), (1000, 3)],
)
def test_layers_that_fit_together_share_a_pass(room, n_passes, expected, tmp_path) -> None:
    images = Images()
    with pretended_cuda():
        found = images.layers(CUDA, room, tmp_path / "unused")
    assert images.n_read == 4 + n_passes * N  # the first batch shows the widths
    for layer in LAYERS:
        torch.testing.assert_close(found[layer], expected[layer], rtol=1e-5, atol=1e-6)
    assert not (tmp_path / "unused").exists()


def test_where_a_layer_does_not_fit_by_itself_all_go_to_disk(expected, tmp_path) -> None:
    images = Images()
    with pretended_cuda():
        found = images.layers(CUDA, 999, tmp_path / "scratch")
    assert (tmp_path / "scratch").exists()
    assert images.n_read == 4 + N
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_on_a_cpu_features_that_do_not_fit_go_to_disk_after_one_pass(expected, tmp_path) -> None:
    images = Images()
    found = images.layers(CPU, 1, tmp_path / "scratch")
    assert images.n_read == N
    assert (tmp_path / "scratch").exists()
    torch.testing.assert_close(found, expected)


def test_a_gpu_keeps_what_its_matrices_leave_and_a_host_a_quarter() -> None:
    n, free = 9841, 80 * 10**9
    assert features_budget(free, n, on_gpu=False) == 20 * 10**9
    assert features_budget(free, n, on_gpu=True) == 72 * 10**9 - 5 * 8 * n**2
    assert features_budget(2 * 10**9, n, on_gpu=True) == 0
    assert matrix_bytes(n) == 5 * 8 * n**2
