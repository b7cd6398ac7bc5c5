"""The pretended GPU refuses what CUDA refuses, computes real values, and counts waits."""

import pytest
import torch
from torch import Tensor, nn

from tests.builders.pretended_cuda import CUDA, MixedDevicesError, pretended_cuda
from trainables.encoding.pca import gram

MIXTURES = {
    "a sum": lambda a, b: a + b,
    "a product": lambda a, b: a @ b,
    "a choice": lambda a, b: torch.where(a > 0, a, b),
    "a concatenation": lambda a, b: torch.cat([a, b]),
    "an index of the GPU": lambda a, b: b[a.argmax(0)],
    "a linear layer": lambda a, b: nn.functional.linear(a, b),
    "in place": lambda a, b: b.add_(a),
    "a generator of the CPU": lambda a, b: torch.randn(2, device=CUDA, generator=torch.Generator()),
}


@pytest.mark.parametrize("name", MIXTURES)
def test_mixed_devices_are_refused(name) -> None:
    with pretended_cuda():
        a, b = torch.ones(3, 3, device="cuda"), torch.ones(3, 3)
        with pytest.raises(MixedDevicesError):
            MIXTURES[name](a, b)


def test_a_tensor_of_the_gpu_is_no_array() -> None:
    with pretended_cuda(), pytest.raises(TypeError, match="cuda:0"):
        torch.ones(3).to(CUDA).numpy()


WAITS = {
    "to device": [lambda a, b: b.cuda(), lambda a, b: torch.tensor([1.0], device="cuda"),
                  lambda a, b: a[torch.tensor([0])], lambda a, b: a.copy_(b),
                  lambda a, b: b.to(torch.device("cuda"), torch.float64)],
    "to host": [lambda a, b: a.cpu(), lambda a, b: a.to(b), lambda a, b: b.copy_(a)],
    "number": [lambda a, b: a.sum().item(), lambda a, b: bool((a > 0).all()),
               lambda a, b: float(a.sum())],
    "size": [lambda a, b: a.nonzero(), lambda a, b: a[a > 0], lambda a, b: torch.unique(a)],
    "": [lambda a, b: (a * 2.0 + torch.tensor(1.0)).sum(dim=0), lambda a, b: a[1:, None],
         lambda a, b: b.to("cuda", non_blocking=True), lambda a, b: a.to("cuda"),
         lambda a, b: torch.zeros(2, device="cuda"), lambda a, b: b.to(torch.float64)],
}  # fmt: skip


@pytest.mark.parametrize("kind", WAITS)
def test_waits_of_the_host_are_counted_by_kind(kind) -> None:
    for step in WAITS[kind]:
        with pretended_cuda() as record:
            a, b = torch.ones(3, 3, device="cuda"), torch.ones(3, 3)
            step(a, b)
        assert dict(record.kinds()) == ({kind: 1} if kind else {})


def test_results_say_where_they_are_and_hold_real_values() -> None:
    A = torch.arange(9.0).view(3, 3)
    with pretended_cuda():
        on_gpu = A.cuda()
        for found in (on_gpu + 1, on_gpu[0], torch.linalg.eigh(on_gpu @ on_gpu.T)[0],
                      on_gpu.max(dim=0).values, torch.zeros_like(on_gpu), on_gpu.T):  # fmt: skip
            assert (found.is_cuda, found.device, found.is_cpu) == (True, CUDA, False)
        assert not (on_gpu.cpu() + A).is_cuda
        assert type((on_gpu * 2).cpu()) is Tensor
        assert torch.equal((on_gpu * 2).cpu(), A * 2)


def test_a_network_moves_and_trains() -> None:
    torch.manual_seed(0)
    network, X = nn.Linear(3, 1), torch.ones(5, 3)
    before = network.weight.detach().clone()
    with pretended_cuda():
        network.to("cuda")
        optimizer = torch.optim.Adam(network.parameters(), lr=0.1)
        with pytest.raises(MixedDevicesError):
            network(X)
        loss = network(X.cuda()).square().mean()
        loss.backward()
        optimizer.step()
        assert network.weight.is_cuda
        assert isinstance(network.weight, nn.Parameter)
        network.to("cpu")
    assert not network.weight.is_cuda
    assert not torch.equal(network.weight, before)


def test_a_wait_names_the_line_of_the_project() -> None:
    with pretended_cuda() as record:
        gram([torch.ones(4, 2, device="cuda")])
    assert [what for what, _ in record.waits] == ["number"]
    assert record.kinds("trainables/encoding/pca.py:") == {"number": 1}
    assert record.kinds("trainables/encoding/ridge.py:") == {}
