"""What is asked of a GPU, without one: its free memory, index and name."""

import pytest
import torch

from trainables.compute import device
from trainables.compute.device import (
    device_name,
    free_bytes,
    has_slow_float64,
    indexed,
    limit_memory,
    use_threads,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def third_gpu(monkeypatch) -> None:
    """A process on GPU 2, of 1,000 bytes, half of them its own; it keeps 30 of freed tensors."""
    third = torch.device("cuda", 2)
    answers = {
        "current_device": 2,
        "mem_get_info": {third: (600, 1000)},
        "get_per_process_memory_fraction": {third: 0.5},
        "memory_reserved": {third: 100},
        "memory_allocated": {third: 70},
        "get_device_name": {third: "Tesla"},
    }
    for name, answer in answers.items():
        call = answer.__getitem__ if isinstance(answer, dict) else lambda found=answer: found
        monkeypatch.setattr(torch.cuda, name, call)


def test_a_bare_gpu_is_the_current_one_and_others_keep_their_index():
    assert indexed(GPU) == torch.device("cuda:2")
    assert indexed(torch.device("cuda:0")) == torch.device("cuda:0")
    assert indexed(CPU) == CPU


def test_free_memory_of_a_gpu_is_what_is_left_of_its_share(monkeypatch):
    assert free_bytes(GPU) == 500 - 70
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (300, 1000))
    assert free_bytes(torch.device("cuda:2")) == 300 + 30


def test_free_memory_of_the_machine_is_measured():
    assert 2**20 < free_bytes(CPU) < 2**50


def test_free_memory_of_the_machine_is_what_a_containers_limit_leaves(monkeypatch):
    monkeypatch.setattr(device, "memory_left", lambda: 1234)
    assert free_bytes(CPU) == 1234


def test_a_device_has_the_name_that_users_know():
    assert device_name(torch.device("cuda:2")) == "Tesla"
    assert device_name(CPU) == "cpu"


def test_torch_and_blas_get_the_same_number_of_threads(monkeypatch):
    found = []
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    monkeypatch.setattr(
        device, "threadpool_limits", lambda n, user_api: found.append((n, user_api))
    )
    use_threads(3)
    assert found == [3, (3, "blas")]


@pytest.mark.parametrize(
    ("capability", "is_slow"),
    [
        ((7, 0), False), ((7, 5), True), ((8, 0), False), ((8, 6), True), ((8, 9), True),
        ((9, 0), False), ((10, 0), False), ((10, 3), True), ((12, 0), True),
    ],
)  # fmt: skip
def test_gpus_for_graphics_and_inference_are_slow_in_float64(
    monkeypatch, capability, is_slow
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert has_slow_float64(GPU) is is_slow
    assert not has_slow_float64(CPU)


@pytest.mark.parametrize(("gibibytes", "left"), [(16, 3.5), (1, 0.125)])
def test_tensors_leave_room_for_the_libraries_in_a_share_of_a_gpu(
    monkeypatch, gibibytes, left
) -> None:
    shares: list[float] = []
    total = gibibytes * 2**30
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (total, total))
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: shares.append(share)
    )
    limit_memory(torch.device("cuda:2"), 0.25)
    assert shares == [left / gibibytes]
