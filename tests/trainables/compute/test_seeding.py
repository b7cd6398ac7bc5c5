"""Seeded blocks: the same draws each time, the generator as before, no other GPU touched."""

import pytest
import torch

from trainables.compute.seeding import seeded_generators


def test_a_block_draws_from_its_seed_and_leaves_the_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    draws = []
    for seed in (1, 1, 2):
        with seeded_generators(seed):
            draws.append(torch.rand(5))
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert torch.equal(torch.rand(5), draws[0])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("device", "touched"), [("cpu", []), ("cuda:3", [3, 3])])
def test_of_eight_gpus_only_the_one_that_is_used_is_touched(
    monkeypatch: pytest.MonkeyPatch, device: str, touched: list[int]
) -> None:
    found: list[int] = []
    seeded: list[tuple[int, int]] = []

    class Generator:
        def __init__(self, gpu: int) -> None:
            self.gpu = gpu

        def manual_seed(self, seed: int) -> None:
            seeded.append((self.gpu, seed))

    def seed_all(seed: int) -> None:
        seeded.extend((gpu, seed) for gpu in range(8))

    def get(device: torch.device) -> torch.Tensor:
        found.append(torch.device(device).index)
        return torch.zeros(1)

    def put(state: torch.Tensor, device: torch.device) -> None:
        found.append(torch.device(device).index)

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.cuda, "get_rng_state", get)
    monkeypatch.setattr(torch.cuda, "set_rng_state", put)
    monkeypatch.setattr(torch.cuda, "default_generators", tuple(map(Generator, range(8))))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seed_all)
    with seeded_generators(7, torch.device(device)):
        assert torch.initial_seed() == 7
    assert found == touched
    assert seeded == [(gpu, 7) for gpu in touched[:1]]
