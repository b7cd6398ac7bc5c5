"""Where a local Ray's sockets and objects are, on machines that leave little choice."""

import os
from collections import namedtuple
from pathlib import Path

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.cluster import connection, local_ray
from orchestrator.cluster.connection import connect
from orchestrator.cluster.local_ray import (
    GIB,
    MAX_SOCKET_PATH,
    MIB,
    SOCKET,
    object_store_size,
    ray_directory,
)

LONG = "slurm_tmpdir/users/member_of_the_lab_0001/job.1234567.head-node.cluster.example/node0123"
Usage = namedtuple("Usage", "free")


@pytest.fixture(autouse=True)
def no_given_directory(monkeypatch) -> None:
    for name in ("RAY_TMPDIR", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)


def test_ray_s_directory_follows_the_temporary_directory(tmp_path_factory, monkeypatch) -> None:
    short = Path("/tmp")
    assert ray_directory() == short / "ray"
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    assert ray_directory() == Path("/var/tmp/ray")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    assert ray_directory() == short / "ray"


def test_sockets_fit_below_a_temporary_directory_of_a_batch_system(monkeypatch, tmp_path) -> None:
    scratch = tmp_path / LONG
    scratch.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(scratch))
    assert len(os.fsencode(ray_directory() / SOCKET)) <= MAX_SOCKET_PATH


def test_bytes_count_not_characters(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp/" + "ü" * 20)
    assert ray_directory() == Path("/tmp/ray")


@pytest.mark.parametrize("place", ["/proc/none", "/dev/null", "/dev/null/below"])
def test_a_temporary_directory_that_is_not_writable_is_avoided(monkeypatch, place) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith("/proc"))
    monkeypatch.setenv("TMPDIR", place)
    assert ray_directory() == Path("/tmp/ray")


@pytest.mark.parametrize(("given", "why"), [("/x" * 40, "bytes"), ("/dev/null", "writable")])
def test_a_given_directory_that_can_t_be_used_is_refused_with_the_cure(
    monkeypatch, given, why
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", given)
    with pytest.raises(InputError, match=rf"{given}.*{why}.*export RAY_TMPDIR=/tmp"):
        ray_directory()


@pytest.mark.parametrize(
    ("memory", "shared", "temporary", "size"),
    [
        (100 * GIB, 50 * GIB, 50 * GIB, 2 * GIB),
        (2 * GIB, 50 * GIB, 50 * GIB, int(0.3 * 2 * GIB)),
        (100 * GIB, GIB, 50 * GIB, int(0.9 * GIB)),
        (100 * GIB, 64 * MIB, 50 * GIB, 2 * GIB),  # Docker's default: on disk
        (100 * GIB, 64 * MIB, GIB, int(0.9 * GIB)),
    ],
)
def test_the_object_store_fits_where_it_is(
    monkeypatch, tmp_path, memory, shared, temporary, size
) -> None:
    free = {tmp_path / "shm": shared, tmp_path: temporary}
    monkeypatch.setattr(local_ray, "memory_limit", lambda: memory)
    monkeypatch.setattr(local_ray.shutil, "disk_usage", lambda place: Usage(free[place]))
    assert object_store_size(tmp_path / "ray", tmp_path / "shm") == size


def test_without_space_for_objects_the_cure_is_reported(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(local_ray.shutil, "disk_usage", lambda place: Usage(64 * MIB))
    with pytest.raises(InputError, match=r"64 MiB free.*needs 128 MiB.*--shm-size"):
        object_store_size(tmp_path)


@pytest.mark.parametrize("error", [Exception("The current node timed out\nat line 2"), OSError()])
def test_a_local_ray_that_does_not_start_is_one_line(monkeypatch, error) -> None:
    def fail(**options: object) -> None:
        raise error

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(connection.ray, "init", fail)
    monkeypatch.setattr(connection.ray, "is_initialized", lambda: False)
    with pytest.raises(InputError, match=r"Ray does not start: .*logs are in /tmp/ray") as caught:
        connect(2)
    assert "line 2" not in str(caught.value)
