"""Fixtures that several test files share."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from orchestrator.cli.environment import DRIVER, WORKER, set_environment
from tests.builders.sweep_process import Lab

# How long an example takes says nothing on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fuzz", settings.get_profile("untimed"), max_examples=2000)
settings.register_profile(
    "faults",  # a failure ends its test at once
    settings.get_profile("untimed"),
    phases=[Phase.explicit, Phase.generate],
    database=None,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "untimed"))

# One thread each: numbers repeat, and two busy processes don't wait for each other's threads.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# What is cached between runs stays out of the home directory.
CACHE = Path(__file__).parents[1] / ".pytest_cache" / "cortex-sweep"
os.environ.setdefault("CORTEX_SWEEP_CACHE", str(CACHE))
set_environment(DRIVER, WORKER)  # as every command does at its start

# A script that runs the tests with & makes them, and all that they start, ignore these signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

# While the tests are collected, compiled modules are kept for the many processes that they start,
# and garbage is not looked for among the millions of objects that come and stay.
NO_BYTECODE = sys.dont_write_bytecode
sys.dont_write_bytecode = False
gc.disable()


def pytest_collection_finish() -> None:
    """Leave bytecode as it was set, and what is there out of all passes over garbage."""
    sys.dont_write_bytecode = NO_BYTECODE
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Leave nothing to the end of the process that libraries would report as leaked."""
    gc.unfreeze()


@pytest.hookimpl(trylast=True)  # after those that are not to be run have left
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give workers the files with slow tests first, so that none is left with one at the end."""
    if hasattr(config, "workerinput"):
        slow = {one.path for one in items if one.get_closest_marker("slow")}
        items.sort(key=lambda one: one.path not in slow)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse tests of Ray that ``make test`` would not find: it looks for the mark in the files."""
    if item.get_closest_marker("ray") and "pytest.mark.ray" not in item.path.read_text():
        raise pytest.UsageError(f"{item.path}: write the mark of its tests as pytest.mark.ray")


@pytest.fixture(scope="session")
def local_ray() -> Iterator[str]:
    """One local Ray for the whole session: two CPUs, a small store. Yields its address."""
    import ray

    from orchestrator.cluster.connection import connect

    connect(num_cpus=2, object_store_memory=200 << 20)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture(scope="session")
def sweep_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Data, weights and a user's own space of four trials, outside the repository."""
    lab = Lab.make(tmp_path_factory.mktemp("lab"), epochs=30)
    yield lab
    lab.end()


@pytest.fixture(scope="session")
def undisturbed(sweep_lab: Lab) -> Path:
    """A sweep that nothing happened to, in one process without Ray: what others must equal."""
    out = sweep_lab.home / "undisturbed"
    assert "0 done" in sweep_lab.finish_here(out)
    return out
