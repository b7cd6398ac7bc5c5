"""Write simulated responses to the test images, where ``submit`` reads those of the challenge.

They lie outside of the simulated source, since the challenge keeps them too.
"""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from orchestrator.ingest.simulate.algonauts import (
    SimulationSettings,
    plant,
    save_array,
    show,
    subject_name,
)
from orchestrator.ingest.simulate.photographs import Photographs
from orchestrator.ingest.simulate.simulation_folder import write_once


def write_challenge_responses(
    out: Path, settings: SimulationSettings, photographs: Photographs | None = None
) -> None:
    """Write the responses to the test images and their noise ceilings to out, unless they exist.

    Files are as of `orchestrator.submit.challenge_files`: (n_test_images, n_vertices) float32, and
    (n_vertices,) float32 shares of the variance, 0 where a vertex has noise only. Arguments are
    those of `simulate`, whose vertices these are. Raises ValueError when out holds responses of
    other settings, or anything else.
    """

    def write(folder: Path) -> None:
        for subject in settings.subjects:
            _write_subject(folder, subject, settings, photographs)

    write_once(out, {"content": "responses to test images", **asdict(settings)}, write)


def _write_subject(
    root: Path, subject: int, settings: SimulationSettings, photographs: Photographs | None
) -> None:
    shown = show(subject, settings, photographs)
    n_images = len(shown.training)
    home = root / subject_name(subject) / "test_split"
    planted = plant(subject, shown.scenes, shown.images, settings, n_images)
    for hemisphere, (_, responses) in planted.items():
        measured = responses.measured[n_images:]
        save_array(home / "test_fmri" / f"{hemisphere}_test_fmri.npy", measured)
        explainable = np.square(responses.noise_ceiling)
        save_array(home / "noise_ceiling" / f"{hemisphere}_noise_ceiling.npy", explainable)
