"""Fixtures that several test files share."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def local_ray() -> Iterator[str]:
    """One local Ray for the whole session: two CPUs, a small store. Yields its address."""
    import ray

    from orchestrator.cluster import connect

    connect(num_cpus=2, object_store_memory=200 << 20)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()
