"""A local Ray listens on loopback alone."""

import ipaddress
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.processes import descendants
from trainables.spec import Trial, Untuned


def listening(pids: set[int]) -> dict[int, str]:
    """Map the TCP ports that processes listen on to their addresses, from /proc."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                raw, port = fields[1].split(":")
                found[int(port, 16)] = str(decoded(raw))
    return found


def decoded(raw: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an address as the kernel writes it: words of four bytes, each turned around."""
    turned = b"".join(bytes.fromhex(raw[i : i + 8])[::-1] for i in range(0, len(raw), 8))
    address = ipaddress.ip_address(turned)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def test_addresses_are_read_as_the_kernel_writes_them() -> None:
    assert str(decoded("0100007F")) == "127.0.0.1"
    assert str(decoded("0000000000000000FFFF00000100007F")) == "127.0.0.1"
    assert str(decoded("00000000000000000000000000000000")) == "::"


@pytest.mark.ray
@pytest.mark.timeout(300)
def test_a_local_ray_and_its_worker_groups_listen_on_loopback_alone(
    local_ray: str, tmp_path: Path
) -> None:
    from benchmarks.overhead import Ends, NoWork, roi
    from orchestrator.cluster.capacity import WorkerGroupSize
    from orchestrator.cluster.job_runner import run_jobs
    from orchestrator.cluster.jobs import Job
    from orchestrator.cluster.queue_actor import start_queue
    from orchestrator.cluster.worker_groups import warm_worker_groups

    trial = Trial(Untuned(), (roi(0),))
    queue = start_queue(0, 1)
    with warm_worker_groups(queue, NoWork, WorkerGroupSize(workers=2), 1, str(tmp_path)):
        job = Job(trial.id, trial.to_json(), trial.shards)
        run_jobs([job], queue, Ends(), concurrent=1, retries=0)  # all workers have met
        titles = descendants(os.getpid())
        workers = {pid for pid, title in titles.items() if "RayTrainWorker" in title}
        of_workers = listening(workers)
        found = listening({os.getpid(), *titles})
    assert len(workers) == 2
    assert len(of_workers) >= 4  # Ray's own, and those of gloo
    assert len(found) >= 9
    assert {port: at for port, at in found.items() if not at.startswith("127.")} == {}


@pytest.mark.ray
def test_another_command_of_this_machine_joins_it(local_ray: str) -> None:
    join = "from orchestrator.cluster.connection import connect; import ray; connect(); ray.nodes()"
    environment = {**os.environ, "RAY_ADDRESS": local_ray}
    subprocess.run([sys.executable, "-c", join], env=environment, check=True, timeout=100)
