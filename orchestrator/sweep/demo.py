"""The demonstration's data: simulated once, then ingested by the real ingest command."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from rich.console import Console

from trainables.data.data_directory import DataDirectory

SUBJECTS: Final = (1, 2)
TASK_NAME: Final = "simulated"


def is_prepared(home: Path) -> bool:
    """Return whether the demonstration's data is complete; its task is made last."""
    return any(path.name == TASK_NAME for path in DataDirectory(home / "data").tasks())


def prepare_demo(home: Path, console: Console, connect: Callable[[], object]) -> None:
    """Make the demonstration's data under home: source, weights.safetensors and data.

    The backbone is pretrained in a process of its own while Ray starts and the data is made.
    connect: starts Ray, which reads the images.
    """
    from orchestrator.ingest.run import ingest_algonauts
    from orchestrator.ingest.settings import Settings
    from orchestrator.ingest.simulate.algonauts import SimulationSettings, simulate
    from orchestrator.ingest.simulate.task import TaskSimulation, simulate_task
    from orchestrator.ingest.task.run import ingest_task

    simulation = SimulationSettings(subjects=SUBJECTS)
    task = TaskSimulation(image_size=simulation.image_size)
    data = DataDirectory(home / "data")
    weights = home / "weights.safetensors"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        console.print(f"pretraining the backbone on simulated classes (about a minute): {weights}")
        pretraining = pool.submit(_pretrain, weights)
        connect()
        console.print(f"simulating {len(simulation.subjects)} subjects in {home / 'source'}")
        simulate(home / "source", simulation)
        ingest_algonauts(
            home / "source",
            data,
            Settings("stimulus", simulation.image_size),
            noise_ceilings=home / "source" / "noise_ceilings",
        )
        simulate_task(home / "task-source", task)
        pretraining.result()
    ingest_task(home / "task-source", data, TASK_NAME, "imagefolder", image_size=task.image_size)


def _pretrain(weights: Path) -> None:
    from orchestrator.ingest.simulate.pretrained_weights import make_weights

    make_weights(weights)
