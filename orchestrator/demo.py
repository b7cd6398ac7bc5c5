"""The demonstration's data: simulated, then read by the real ingest; made once."""

from pathlib import Path
from typing import Final

from rich.console import Console

from orchestrator.ingest.ingestion import ingest_algonauts
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulate import SimulationSettings, simulate
from orchestrator.ingest.stand_in_weights import make_weights

SIMULATION: Final = SimulationSettings(subjects=(1, 2))


def prepare_demo(home: Path, console: Console) -> None:
    """Make what the demonstration runs on under home: source, weights.safetensors, data."""
    console.print(f"simulating {len(SIMULATION.subjects)} subjects in {home / 'source'}")
    simulate(home / "source", SIMULATION)
    weights = home / "weights.safetensors"
    console.print(f"pretraining the trunk on the simulation's classes, a minute: {weights}")
    make_weights(weights)
    ingest_algonauts(
        home / "source",
        home / "data",
        Settings("stimulus", SIMULATION.image_size),
        noise_ceilings=home / "source" / "noise_ceilings",
    )
