"""Where workers of a process group meet: a private file, or one address of the first host."""

import socket
import stat
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from orchestrator.cluster.watchdog import MIN_STALL_TIMEOUT
from trainables.exceptions import ProcessGroupBroken, WorkerLost
from trainables.training.distributed import SINGLE_PROCESS
from trainables.training.rendezvous import Rendezvous, make_rendezvous, meet, timeout_of


def test_workers_of_one_host_meet_in_a_file_that_only_their_user_can_read() -> None:
    place = make_rendezvous(["10.0.0.1", "10.0.0.1"])
    assert place.directory is not None
    assert stat.S_IMODE(Path(place.directory).stat().st_mode) == 0o700
    assert place.port == 0
    assert place.is_reachable()
    place.remove()
    assert not place.is_reachable()  # as in a container with a directory of its own
    assert not Path(place.directory).exists()


def test_workers_of_several_hosts_meet_at_one_address_of_the_first() -> None:
    place = make_rendezvous(["127.0.0.1", "127.0.0.2"])
    assert (place.directory, place.address) == (None, "127.0.0.1")
    assert place.is_reachable()
    store = dist.TCPStore(  # type: ignore[attr-defined]
        place.address, place.port, is_master=False, timeout=timedelta(seconds=10)
    )
    store.set("key", "value")
    assert store.get("key") == b"value"
    with pytest.raises(ConnectionRefusedError):  # an address of this host that it does not have
        socket.create_connection(("127.0.0.3", place.port), timeout=5)


def test_a_lost_worker_is_noticed_by_nccl_before_the_watchdog_ends_the_others() -> None:
    assert (
        timeout_of("nccl").total_seconds() < MIN_STALL_TIMEOUT < timeout_of("gloo").total_seconds()
    )


def test_a_group_meets_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], dist.init_process_group
    monkeypatch.setattr(
        dist,
        "init_process_group",
        lambda *one, **options: (made.append(options), make(*one, **options)),
    )
    meet(Rendezvous(directory=str(tmp_path)), "gloo", 0, 1)
    try:
        assert dist.get_world_size() == 1
        assert dist.get_backend() == "gloo"
        assert [one["timeout"] for one in made] == [timeout_of("gloo")]
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("NCCL error: Cuda failure 2 'out of memory'", ProcessGroupBroken, "out of memory between"),
        ("Connection closed by peer", WorkerLost, "another worker does not answer"),
    ],
)
def test_a_worker_without_memory_for_a_sum_is_told_from_one_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Exception], message: str
) -> None:
    def fail(tensor: torch.Tensor, group: object) -> None:
        raise dist.DistBackendError(text)

    monkeypatch.setattr(dist, "all_reduce", fail)
    with pytest.raises(ProcessGroupBroken, match=message) as caught:
        SINGLE_PROCESS.sum(torch.zeros(2))
    assert type(caught.value) is kind
