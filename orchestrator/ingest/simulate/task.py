"""Write a simulated image-classification task: the scenes, one directory per class.

Subjects are not shown these images, and the stand-in weights are not trained on them.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from orchestrator.ingest.simulate.scenes import CLASSES, compose, render
from orchestrator.ingest.simulate.simulation_folder import require, write_once

FIRST_TASK_STIMULUS: Final = 200_000
"""First stimulus number, beyond those of subjects and of pretraining."""


@dataclass(frozen=True)
class TaskSimulation:
    """Settings of a simulation, which determine its files byte for byte."""

    n_images: int = 1000
    image_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            self.n_images >= 10 * len(CLASSES),
            f"{self.n_images} images: expected at least {10 * len(CLASSES)}, ten per class",
        )


def simulate_task(out: Path, settings: TaskSimulation) -> None:
    """Write the simulated task to out, unless it exists.

    Raises ValueError when out holds another simulation, or anything else.
    """

    def write(folder: Path) -> None:
        for name in CLASSES:
            (folder / name).mkdir()
        for stimulus in range(FIRST_TASK_STIMULUS, FIRST_TASK_STIMULUS + settings.n_images):
            scene = compose(settings.seed, stimulus)
            image = Image.fromarray(render(scene, settings.image_size))
            image.save(folder / CLASSES[scene.main.label] / f"{stimulus}.png")

    write_once(out, {"task": asdict(settings)}, write)
