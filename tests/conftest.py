"""Fixtures that several test files share."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

# One thread each: numbers repeat, and two busy processes don't wait for each other's threads.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")


@pytest.fixture(scope="session")
def local_ray() -> Iterator[str]:
    """One local Ray for the whole session: two CPUs, a small store. Yields its address."""
    import ray

    from orchestrator.cluster import connect

    connect(num_cpus=2, object_store_memory=200 << 20)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
