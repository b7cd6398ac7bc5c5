import shutil
from pathlib import Path

import pytest

from orchestrator.ingest.simulate.nsd import simulate_nsd
from tests.builders.nsd_folder import SETTINGS


@pytest.fixture(scope="session")
def released(tmp_path_factory) -> Path:
    """A simulated release; a test that changes it takes a copy."""
    root = tmp_path_factory.mktemp("nsd") / "source"
    simulate_nsd(root, SETTINGS)
    return root


@pytest.fixture
def folder(released, tmp_path) -> Path:
    """A copy of hard links: a test replaces files, and never writes into one."""

    def link(source: str, target: str) -> str:
        Path(target).hardlink_to(source)
        return target

    return Path(shutil.copytree(released, tmp_path / "source", copy_function=link))
