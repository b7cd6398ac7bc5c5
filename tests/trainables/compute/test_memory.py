"""The memory that a process may use, in containers and batch jobs."""

from pathlib import Path

import pytest

from trainables.compute.memory import memory_left, memory_limit

GIB = 2**30
UNLIMITED = "9223372036854771712"
"""What control groups of version 1 hold where there is no limit."""


def limits(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("", {}, None),
        ("0::/", {"memory.max": "max"}, None),
        ("0::/", {"memory.max": str(2 * GIB)}, 2 * GIB),
        ("0::/job/step", {"job/step/memory.max": "max", "job/memory.max": str(GIB)}, GIB),
        ("0::/job", {"memory.max": str(GIB), "job/memory.max": str(2 * GIB)}, GIB),
        ("0::/job", {"unified/job/memory.max": str(GIB)}, GIB),
        ("0::/../..", {"memory.max": str(GIB)}, GIB),
        ("4:memory:/", {"memory/memory.limit_in_bytes": UNLIMITED}, None),
        ("4:memory:/", {"memory/memory.limit_in_bytes": str(2 * GIB)}, 2 * GIB),
        ("4:cpu,memory:/case7", {"memory/case7/memory.limit_in_bytes": str(2 * GIB)}, 2 * GIB),
        (
            "4:memory:/a/b\n0::/a/b",
            {"memory/a/memory.limit_in_bytes": str(GIB), "memory/memory.limit_in_bytes": UNLIMITED},
            GIB,
        ),
        ("3:cpu:/a", {"cpu/a/memory.max": str(GIB)}, None),
        ("4:memory:/absent", {"memory/memory.limit_in_bytes": str(GIB)}, GIB),
        ("0::/", {"memory.max": "nonsense"}, None),
        ("0::/", {"memory.max": "9" * 5000}, None),
        ("0::/", {"memory.max": "0"}, None),
    ],
)
def test_the_limit_of_a_container_is_the_memory(tmp_path, membership, files, expected) -> None:
    root = limits(tmp_path / "cgroup", files)
    (tmp_path / "membership").write_text(membership + "\n" * bool(membership))
    whole = memory_limit(tmp_path / "none", tmp_path / "absent", {})
    assert memory_limit(root, tmp_path / "membership", {}) == (expected or whole)
    assert whole > GIB


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_MEM_PER_NODE": "1024"}, GIB),
        ({"SLURM_MEM_PER_CPU": "256", "SLURM_CPUS_ON_NODE": "4"}, GIB),
        ({"SLURM_MEM_PER_CPU": "256"}, None),
        ({"SLURM_MEM_PER_NODE": "0"}, None),
        ({"SLURM_MEM_PER_NODE": "4G"}, None),
        ({"SLURM_MEM_PER_NODE": "-1"}, None),
        ({"SLURM_MEM_PER_NODE": "9" * 5000}, None),
        ({"SLURM_MEM_PER_NODE": "9" * 14}, None),
    ],
)
def test_the_limit_of_a_slurm_job_is_the_memory(tmp_path, environment, expected) -> None:
    whole = memory_limit(tmp_path, tmp_path / "absent", {})
    assert memory_limit(tmp_path, tmp_path / "absent", environment) == (expected or whole)


UNIFIED = {"job/memory.max": "4000", "job/memory.current": "1500"}
OLD = {"memory/job/memory.limit_in_bytes": "4000", "memory/job/memory.usage_in_bytes": "1500"}
OF_FILES = "anon 900\ninactive_file 200\nactive_file 400\n"


@pytest.mark.parametrize(
    ("files", "environment", "expected"),
    [
        ({}, {}, None),
        ({"job/memory.max": "4000"}, {}, 4000),
        (UNIFIED, {}, 2500),
        (UNIFIED | {"job/memory.stat": OF_FILES}, {}, 2700),
        (UNIFIED | {"memory.max": "4500", "memory.current": "4400"}, {}, 100),
        (UNIFIED | {"memory.max": "4500", "memory.current": "100"}, {}, 2500),
        (UNIFIED | {"job/memory.current": "4001"}, {}, 0),
        (UNIFIED | {"job/memory.stat": "nonsense\n\n"}, {}, 2500),
        (OLD, {}, 2500),
        (OLD | {"memory/job/memory.stat": "inactive_file 1\ntotal_inactive_file 300"}, {}, 2800),
        ({"job/memory.max": str(2 * GIB)}, {"SLURM_MEM_PER_NODE": "1024"}, GIB),
    ],
)
def test_a_containers_limit_leaves_what_its_processes_do_not_use(
    tmp_path, files, environment, expected
) -> None:
    root = limits(tmp_path / "cgroup", files)
    (tmp_path / "membership").write_text("4:memory:/job\n0::/job\n")
    whole = memory_left(tmp_path / "none", tmp_path / "absent", {})
    assert memory_left(root, tmp_path / "membership", environment) == (
        whole if expected is None else expected
    )
    assert whole > GIB
