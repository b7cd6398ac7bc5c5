"""The cluster files: valid by Ray's own schema, closed, installed from the lock; Slurm's script."""

import os
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from orchestrator.cluster.autoscaling import NodeType, grown, node_types
from orchestrator.cluster.capacity import WorkerGroupSize

ROOT = Path(__file__).parents[3]
FILES = ("cluster.yaml", "clusters/local.yaml")


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / name).read_text())
    return found


@pytest.fixture(params=FILES)
def config(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_ray_accepts_them(config: dict[str, Any]) -> None:
    validate_config(prepare_config(deepcopy(config)))


def test_ray_refuses_what_it_does_not_know(config: dict[str, Any]) -> None:
    config["idle_timeout"] = 3
    with pytest.raises(Exception, match="idle_timeout"):
        validate_config(prepare_config(config))


def test_every_node_asks_for_the_token_and_the_dashboard_is_on_loopback(
    config: dict[str, Any],
) -> None:
    assert "~/.ray/auth_token" in config["file_mounts"]
    head = [line for line in config["head_start_ray_commands"] if "ray start" in line]
    workers = [line for line in config["worker_start_ray_commands"] if "ray start" in line]
    assert len(head) == len(workers) == 1
    assert all("export RAY_AUTH_MODE=token " in line for line in (*head, *workers))
    assert "--dashboard-host=127.0.0.1" in head[0]
    assert any(
        "RAY_AUTH_MODE=token" in line and "PATH" in line for line in config["setup_commands"]
    )


def test_aws_has_a_head_without_a_gpu_spot_workers_and_a_fallback() -> None:
    config = prepare_config(read("cluster.yaml"))
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0, "GPU": 0}
    workers = {name: one for name, one in types.items() if name != config["head_node_type"]}
    assert len(workers) == 2
    assert all(one["resources"]["GPU"] == 1 and one["min_workers"] == 0 for one in workers.values())
    spot = {n for n, one in workers.items() if "InstanceMarketOptions" in one["node_config"]}
    assert spot == {"gpu_spot"}


def test_aws_installs_from_the_lock_file() -> None:
    steps = " ".join(read("cluster.yaml")["setup_commands"])
    assert "uv pip sync" in steps
    assert "requirements.lock" in steps
    pinned = next(
        line for line in (ROOT / "Makefile").read_text().splitlines() if "UV_VERSION" in line
    )
    assert f"uv=={pinned.split()[-1]}" in steps


def test_a_cluster_that_grows_is_counted_as_it_may_be(tmp_path: Path) -> None:
    bootstrap = tmp_path / "ray_bootstrap_config.yaml"
    bootstrap.write_text(yaml.safe_dump(prepare_config(read("cluster.yaml")), sort_keys=False))
    types = node_types(bootstrap)
    assert types == [NodeType({"CPU": 8, "GPU": 1}, 8), NodeType({"CPU": 8, "GPU": 1}, 2)]
    assert grown({"CPU": 0.0}, types)["GPU"] == 2
    assert WorkerGroupSize(1, 1).fits({"CPU": 0.0}) == 0
    assert WorkerGroupSize(1, 1).fits_when_grown(types) == 10
    assert WorkerGroupSize(1, 0.5).fits_when_grown(types) == 20
    assert WorkerGroupSize(4, 0.25).fits_when_grown(types) == 20
    assert WorkerGroupSize(1, 1, workers=4).fits_when_grown(types) == 2


@pytest.mark.parametrize("content", ["", "[]", "a: b", ":", "available_node_types: 3"])
def test_what_is_no_cluster_grows_to_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    assert node_types(tmp_path / "config.yaml") == []
    assert node_types(tmp_path / "absent.yaml") == []


FAKES = {
    "scontrol": 'printf "node1\\nnode2\\nnode3\\n"',
    "srun": """echo "srun $*" >> "$LOG"
while [ "${1#-}" != "$1" ]; do [ "$1" = -w ] && shift; shift; done
[ "$1" = hostname ] && { echo "10.0.0.1 fe80::1"; exit; }
exec sleep 60""",
    "ray": """echo "ray $*" >> "$LOG"
[ "$1" != get-auth-token ] || echo t > "$HOME/.ray/auth_token\"""",
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """An allocation of three nodes, whose programs write down what they are asked."""
    for name, body in FAKES.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/bash\n{body}\n")
        program.chmod(0o755)
    (tmp_path / ".ray").mkdir()
    return {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LOG": str(tmp_path / "log"),
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_JOB_ID": "77",
        "SLURM_CPUS_PER_TASK": "8",
        "SLURM_SUBMIT_DIR": str(tmp_path),
    }


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(ROOT / "clusters" / "slurm.sh"), *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_slurm_starts_a_head_and_workers_and_runs_the_command(slurm: dict[str, str]) -> None:
    done = run(slurm, "bash", "-c", 'echo "at $RAY_ADDRESS by $RAY_AUTH_MODE"; sleep 2; exit 3')
    assert done.returncode == 3, done.stderr
    assert "at 10.0.0.1:20077 by token" in done.stdout
    lines = Path(slurm["LOG"]).read_text().splitlines()
    starts = [line for line in lines if "ray start" in line]
    assert len(starts) == 3
    [head] = [line for line in starts if "--head" in line]  # they are logged side by side
    assert "-w node1 ray start" in head
    assert "--head --node-ip-address=10.0.0.1 --port=20077" in head
    assert "--dashboard-host=127.0.0.1" in head
    workers = [line for line in starts if line != head]
    assert all("--address=10.0.0.1:20077" in line and "--num-cpus 8" in line for line in workers)
    assert (Path(slurm["HOME"]) / ".ray" / "auth_token").read_text() == "t\n"


@pytest.mark.parametrize(
    ("left_out", "message"), [("command", "usage"), ("SLURM_JOB_NODELIST", "sbatch")]
)
def test_slurm_without_what_it_needs_says_so(
    slurm: dict[str, str], left_out: str, message: str
) -> None:
    slurm.pop(left_out, None)
    done = run(slurm, *(() if left_out == "command" else ("true",)))
    assert done.returncode != 0
    assert message in done.stderr
