import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.ingest.simulate.nsd import simulate_nsd
from tests.builders import nsd_folder
from tests.builders.nsd_synthetic_folder import SETTINGS, Ingested, ingest


@pytest.fixture(scope="session")
def ingested_once(tmp_path_factory) -> Ingested:
    """A simulated release with NSD-synthetic, and both data sets of a subject as shards."""
    home = tmp_path_factory.mktemp("nsd_synthetic")
    source, data = home / "source", home / "data"
    simulate_nsd(source, SETTINGS)
    ready = nsd_folder.prepare(source, home / "scratch")
    nsd_folder.write(ready, data, "shared1000")
    return ingest(source, data, home / "scratch2")


@pytest.fixture
def copied(ingested_once: Ingested, tmp_path: Path) -> Ingested:
    """A copy of source and NSD's shards, to be damaged; without the ingested NSD-synthetic."""
    source, data = tmp_path / "source", tmp_path / "data"
    shutil.copytree(ingested_once.source, source)
    shutil.copytree(ingested_once.data / "nsd-subj01", data / "nsd-subj01")
    return replace(ingested_once, source=source, data=data)
