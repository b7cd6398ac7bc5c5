"""Which worker groups make a process group, with groups that only record their calls."""

import os
from typing import Any

import pytest
import ray

from orchestrator.cluster import group_backend
from orchestrator.cluster.group_backend import GroupBackend, GroupConfig, use_loopback
from trainables.training.rendezvous import (
    Rendezvous,
    make_rendezvous,
    meet,
    serve_rendezvous,
)


class Group:
    """A worker group whose workers are on given hosts."""

    def __init__(self, *hosts: str, gpus: float = 0, reach: tuple[bool, ...] = ()) -> None:
        self.hosts = hosts
        self.reach = reach or (True,) * len(hosts)
        self.gpus = gpus
        self.calls: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self.hosts)

    def execute(self, function: Any) -> list[Any]:
        if function is ray.util.get_node_ip_address:
            return list(self.hosts)
        if getattr(function, "__func__", None) is Rendezvous.is_reachable:
            return list(self.reach)
        self.calls.append((function,))
        return []

    def execute_single(self, rank: int, function: Any, *arguments: Any) -> Any:
        self.calls.append((rank, function, *arguments))
        if function is make_rendezvous and len(set(self.hosts)) == 1:
            return Rendezvous(directory="private")
        return Rendezvous(address="place", port=1)

    def execute_single_async(self, rank: int, function: Any, *arguments: Any) -> None:
        self.calls.append((rank, function, *arguments))

    def get_resources_per_worker(self) -> dict[str, float]:
        return {"CPU": 1.0, "GPU": self.gpus}


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_backend.ray, "get", lambda answers: answers)


def test_workers_of_one_host_meet_in_a_directory_and_listen_on_loopback() -> None:
    assert GroupConfig().backend_cls is GroupBackend
    group = Group("10.0.0.1", "10.0.0.1")
    GroupBackend().on_start(group, GroupConfig())
    place = Rendezvous(directory="private")
    assert group.calls == [
        (0, make_rendezvous, ["10.0.0.1", "10.0.0.1"]),
        (use_loopback,),
        (0, meet, place, "gloo", 0, 2),
        (1, meet, place, "gloo", 1, 2),
    ]


def test_workers_of_one_address_without_a_common_directory_meet_at_the_address() -> None:
    group = Group("10.0.0.1", "10.0.0.1", reach=(True, False))
    backend = GroupBackend()
    backend.on_start(group, GroupConfig())
    place = Rendezvous(address="place", port=1)
    _, removed = group.calls.pop(1)
    assert removed.__self__ == Rendezvous(directory="private")
    assert removed.__name__ == "remove"
    assert group.calls == [
        (0, make_rendezvous, ["10.0.0.1", "10.0.0.1"]),
        (0, serve_rendezvous, "10.0.0.1"),
        (0, meet, place, "gloo", 0, 2),
        (1, meet, place, "gloo", 1, 2),
    ]
    assert backend._place == place


def test_an_interface_that_the_user_chose_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "")  # to be restored
    monkeypatch.delenv("GLOO_SOCKET_IFNAME")
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "ib0")
    use_loopback()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "lo"
    assert os.environ["NCCL_SOCKET_IFNAME"] == "ib0"


@pytest.mark.parametrize(("gpus", "backend"), [(0, "gloo"), (1.0, "nccl")])
def test_workers_of_a_group_meet_where_the_first_says(gpus, backend) -> None:
    group = Group("10.0.0.1", "10.0.0.2", gpus=gpus)
    GroupBackend().on_start(group, GroupConfig())
    place = Rendezvous(address="place", port=1)
    assert group.calls == [
        (0, make_rendezvous, ["10.0.0.1", "10.0.0.2"]),
        (0, meet, place, backend, 0, 2),
        (1, meet, place, backend, 1, 2),
    ]
