"""The memory that this process may use: the machine's, a container's or a batch job's limit."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

CGROUPS: Final = Path("/sys/fs/cgroup")
LIMITS: Final = ("memory.limit_in_bytes", "memory.max")
"""Files of limits: of control groups of version 1, and of version 2."""
USED: Final = {"memory.limit_in_bytes": "memory.usage_in_bytes", "memory.max": "memory.current"}
"""Files of the memory in use, by those of its limits."""
RECLAIMABLE: Final = ("total_inactive_file", "inactive_file")
"""Entries of memory.stat, of both versions, that count files' pages which a group may drop."""
MIB: Final = 2**20
CONTEXT: Final = 512 * MIB
"""GPU memory in bytes that the libraries of each process use, whatever it computes."""


def memory_limit(
    cgroups: Path = CGROUPS,
    membership: Path = Path("/proc/self/cgroup"),
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Return the bytes of memory that this process may use.

    It is the least of the machine's memory, the limits of this process's control groups and of
    those above them (Docker, Kubernetes, systemd, Slurm), and Slurm's SLURM_MEM_PER_NODE or
    SLURM_MEM_PER_CPU, in MiB.
    """
    groups = (limit for _, limit in _group_limits(cgroups, membership))
    return min((_machine_bytes(), *groups, *_slurm_limits(environment)))


def memory_left(
    cgroups: Path = CGROUPS,
    membership: Path = Path("/proc/self/cgroup"),
    environment: Mapping[str, str] = os.environ,
) -> int:
    """Return the bytes that the limits of :func:`memory_limit` leave.

    A control group's limit leaves what its processes do not use; pages of files that it may drop
    count as free. Slurm's variables do not say what a job uses: they count in full.
    """
    groups = (limit - _used(file) for file, limit in _group_limits(cgroups, membership))
    return max(0, min((_machine_bytes(), *groups, *_slurm_limits(environment))))


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _group_limits(cgroups: Path, membership: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of limits, and the limits in bytes."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    for line in ("0::/", "1:memory:/", *lines):
        _, controllers, group = line.split(":", 2)
        if "memory" in controllers.split(","):
            root = cgroups / "memory"
        elif not controllers:
            root = cgroups / "unified" if (cgroups / "unified").is_dir() else cgroups
        else:
            continue
        inner = root / group.strip("/")
        for directory in (inner, *inner.parents):
            if directory == root.parent:
                break
            for file in (directory / name for name in LIMITS):
                if limit := _number(file):
                    yield file, limit


def _used(limit: Path) -> int:
    """Count the bytes that a control group uses and can't drop; limit: the file of its limit."""
    used = _number(limit.with_name(USED[limit.name])) or 0
    try:
        lines = limit.with_name("memory.stat").read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return used
    entries = dict(line.split(maxsplit=1) for line in lines if len(line.split()) == 2)
    dropped = next((entries[name] for name in RECLAIMABLE if name in entries), "0")
    return max(0, used - _positive(dropped))


def _number(path: Path) -> int | None:
    """Read a limit; None if there is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _slurm_limits(environment: Mapping[str, str]) -> Iterator[int]:
    """Yield the memory of a Slurm job on this node; 0 means all of it."""
    per_node = _positive(environment.get("SLURM_MEM_PER_NODE", ""))
    per_cpu = _positive(environment.get("SLURM_MEM_PER_CPU", ""))
    n_cpus = _positive(environment.get("SLURM_CPUS_ON_NODE", ""))
    if per_node:
        yield per_node * MIB
    elif per_cpu and n_cpus:
        yield per_cpu * n_cpus * MIB


def _positive(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) < 15
    return int(text) if is_number else 0
