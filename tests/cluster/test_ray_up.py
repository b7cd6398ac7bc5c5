"""Three hosts by the real ``ray up``, a sweep over them, a cable out, a host dead, ``ray down``."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest
import yaml

from benchmarks.processes import wait_for
from tests.builders.sweep_process import Lab, scores_of
from tests.cluster.hosts import NETWORK, ROOT, SHARED, Host, hosts, missing
from trainables.results.score_files import SCORE_SCHEMA

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

SPACE = '''
"""More trials than the hosts have cores."""
from trainables.spec import *

BACKBONE = Backbone("narrow-alexnet", FROM_FILE)
ENCODING = Encoding(layers=("features.5",), protocols=("nested",), n_folds=3)

def trials(rois):
    for roi in rois:
        yield Trial(Untuned(), (roi,), BACKBONE, ENCODING)
        for seed in range(4):
            objective = Contrastive(batch_size=16, epochs=30, validation=0.2)
            yield Trial(objective, (roi,), BACKBONE, ENCODING, seed=seed)
'''
UP_SECONDS = 300
CUT_SECONDS = 30


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """The shared directory: a lab in it, and the scores of one machine."""
    if lacks := missing():
        pytest.skip(f"the cluster was not tested: {lacks}")
    home = tmp_path / "shared" / "lab"
    home.mkdir(parents=True)
    lab = Lab.make(home)
    (home / "space.py").write_text(SPACE)
    yield home.parent
    lab.end()


def write_config(home: Path, key: Path) -> Path:
    """Fill in clusters/local.yaml, as a lab does, for three hosts."""
    text = (ROOT / "clusters" / "local.yaml").read_text()
    config: dict[str, Any] = yaml.safe_load(text.replace("$HOME/cortex-sweep", str(ROOT)))
    config["provider"] |= {
        "head_ip": f"{NETWORK}.1",
        "worker_ips": [f"{NETWORK}.2", f"{NETWORK}.3"],
    }
    config["auth"] = {"ssh_user": "root", "ssh_private_key": str(key)}
    path = home / "local.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def ray(home: Path, *arguments: str) -> str:
    """Run Ray's launcher as a user whose home this is."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = {**kept, "HOME": str(home), "RAY_UP_enable_autoscaler_v2": "0"}
    done = subprocess.run(
        [ROOT / ".venv" / "bin" / "ray", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=UP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ray_processes(found: list[Host]) -> list[str]:
    return [
        f"{host.name}: {title}"
        for host in found
        for title in host.processes().values()
        if "ray" in title and "host_init.sh" not in title
    ]


def n_alive(head: Host) -> int:
    """Ask the head how many nodes live."""
    listed = head.run("ray list nodes --format json --filter state=ALIVE 2>/dev/null || echo []")
    return len(json.loads(listed))


def on(shared: Path, out: Path) -> Path:
    """Say where a host sees a file."""
    return SHARED / out.relative_to(shared)


def start_sweep(shared: Path, head: Host, out: Path) -> subprocess.Popen[str]:
    command = (
        f"cd {on(shared, shared / 'lab')} && RAY_ADDRESS=auto PYTHONDONTWRITEBYTECODE=1 "
        f"MLFLOW_TRACKING_URI=sqlite:///{on(shared, out)}.db OMP_NUM_THREADS=1 "
        "python -m orchestrator.sweep space.py --weights weights.safetensors "
        f"--data data --out {on(shared, out)}"
    )
    with out.with_suffix(".log").open("w") as log:
        login = head.ssh(f"bash --login -c '{command}'")
        return subprocess.Popen(login, stdout=log, stderr=log, text=True)


def served(out: Path) -> set[str]:
    """Name the hosts that have finished a trial."""
    lines = [line for path in out.glob("logs/*.jsonl") for line in path.read_text().splitlines()]
    return {one["host"] for one in map(json.loads, lines) if one["event"] == "finished"}


def test_a_sweep_over_hosts_of_which_one_is_cut_off_and_one_dies(
    shared: Path, tmp_path: Path
) -> None:
    lab, out = Lab(shared / "lab"), shared / "runs"
    home = tmp_path / "user"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(secrets.token_hex(32))
    with hosts(tmp_path, shared, 3) as found:
        head, second, third = found
        config = write_config(home, tmp_path / "id_ed25519")
        ray(home, "up", "-y", "--no-config-cache", str(config))
        wait_for(lambda: n_alive(head) == 3, "three nodes", timeout=UP_SECONDS)
        sweep = start_sweep(shared, head, out)
        wait_for(lambda: {"h2", "h3"} <= served(out), "trials of both workers")
        second.unplug()
        time.sleep(CUT_SECONDS)
        second.unplug(plugged=True)
        third.end()
        assert sweep.wait(600) == 0, out.with_suffix(".log").read_text()
        ray(home, "down", "-y", str(config))
        wait_for(lambda: not ray_processes([head, second]), "Ray's processes to end", timeout=240)
    table = pads.dataset(out / "scores", schema=SCORE_SCHEMA, format="parquet").to_table()
    assert len(set(table["host"].to_pylist())) >= 2
    undisturbed = shared / "undisturbed"
    try:
        lab.finish(undisturbed)
    finally:
        lab.end()
    assert scores_of(out).equals(scores_of(undisturbed))
