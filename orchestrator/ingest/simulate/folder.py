"""Write simulated subjects as a folder of one's own data, with repeats and sessions.

Responses follow the same forward model as in the other layouts. Each presentation has noise of its
own, and each session a mean and a scale of its own per neuroid, which z-scoring removes.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from PIL import Image

from orchestrator.ingest.layouts import DESCRIPTION
from orchestrator.ingest.simulate.cortex import Cortex, build_cortex
from orchestrator.ingest.simulate.forward_model import respond
from orchestrator.ingest.simulate.local_features import LocalFeatures, measure_features
from orchestrator.ingest.simulate.scenes import Scene, compose, render
from orchestrator.ingest.simulate.simulation_folder import require, write_once
from trainables.spec.rois import HEMISPHERES
from trainables.storage.atomic import write_text

Array = np.ndarray[Any, np.dtype[Any]]

KEPT: Final = ("V1v", "V1d", "hV4", "EBA", "PPA")
"""ROIs whose vertices are neuroids; vertices of no ROI are left out too."""
N_NAN: Final = 2
"""Neuroids of each subject whose responses are NaN in one session."""
TEST_EVERY: Final = 5
"""One image in so many is a test image."""
SESSION_SPREAD: Final = 0.5
"""Standard deviation of a session's mean, and of the logarithm of its scale."""
GRID: Final = 20
"""Voxels along the first two axes of the volume."""
MOST_SUBJECT: Final = 8


@dataclass(frozen=True)
class FolderSimulation:
    """Settings of a simulation, which determine its files byte for byte."""

    subjects: tuple[int, ...] = (1, 2)
    n_images: int = 300
    """Images, which all subjects see."""
    image_size: int = 64
    repeats: int = 2
    """Presentations of each image; of every second image one less, if there are three or more."""
    sessions: int = 3
    hemispheres: bool = True
    """Whether neuroids have a hemisphere and a vertex of fsaverage; else they are voxels."""
    noise_ceiling: tuple[float, float] = (0.5, 0.7)
    """Range of the neuroids' r between signal and a single presentation."""
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            len(self.subjects) > 0 and set(self.subjects) <= set(range(1, MOST_SUBJECT + 1)),
            f"subjects {self.subjects}: expected numbers from 1 to {MOST_SUBJECT}",
        )
        require(self.n_images >= 20, f"{self.n_images} images: expected at least 20")
        require(self.repeats >= 1, f"repeats {self.repeats}: expected at least 1")
        require(
            1 <= self.sessions <= self.n_images // 2,
            f"sessions {self.sessions}: expected 1 to {self.n_images // 2}, half the images",
        )


@dataclass(frozen=True)
class PlantedNeuroids:
    """A simulated subject's neuroids, both hemispheres after one another."""

    side: Array
    """(n,) lh or rh."""
    vertex: Array
    """(n,) of fsaverage."""
    roi: Array
    signal: Array
    """(n_images, n) float32, of mean 0 and variance 1."""
    ceiling: Array
    """(n,) r between signal and a single presentation."""

    @property
    def ncsnr(self) -> Array:
        """Standard deviation of the signal over that of a presentation's noise."""
        found: Array = self.ceiling / np.sqrt(1 - self.ceiling**2)
        return found


def simulate_folder(out: Path, settings: FolderSimulation) -> None:
    """Write the simulated subjects to out, unless they exist.

    Raises ValueError when out holds subjects of other settings, or anything else.
    """

    def write(folder: Path) -> None:
        scenes = [compose(settings.seed, number) for number in range(settings.n_images)]
        images = [render(scene, settings.image_size) for scene in scenes]
        _write_stimuli(folder, images, settings)
        features = measure_features(images)
        for subject in settings.subjects:
            planted = plant_neuroids(subject, scenes, features, settings)
            _write_subject(folder / f"sub-{subject:02d}", subject, planted, settings)

    write_once(out, {"layout": "folder", **asdict(settings)}, write)


def plant_neuroids(
    subject: int, scenes: Sequence[Scene], features: LocalFeatures, settings: FolderSimulation
) -> PlantedNeuroids:
    """Simulate a subject's neuroids and their noiseless responses."""
    parts = []
    for side in HEMISPHERES:
        cortex = build_cortex(settings.seed, subject, side)
        seed = (settings.seed, subject)
        found = respond(cortex, side, scenes, features, settings.noise_ceiling, seed)
        kept = _kept(cortex)
        roi = np.array([cortex.home[vertex] for vertex in kept])
        vertex = cortex.fsaverage[kept]
        parts.append((vertex, roi, found.signal[:, kept].T, found.noise_ceiling[kept]))
    vertex, roi, signal, ceiling = (np.concatenate(one) for one in zip(*parts, strict=True))
    sides = np.repeat(HEMISPHERES, [len(part[0]) for part in parts])
    return PlantedNeuroids(sides, vertex, roi, signal.T, ceiling)


def _kept(cortex: Cortex) -> Array:
    return np.flatnonzero(np.isin([home or "" for home in cortex.home], KEPT))


def presentation_order(subject: int, settings: FolderSimulation) -> tuple[Array, Array]:
    """Draw which image each presentation shows, and in which session: (n,) each."""
    fewer = settings.repeats > 2
    counts = np.full(settings.n_images, settings.repeats)
    counts[1::2] -= int(fewer)
    shown = np.repeat(np.arange(settings.n_images), counts)
    rng = np.random.default_rng([settings.seed, subject, 20])
    shown = rng.permutation(shown)
    return shown, np.arange(len(shown)) * settings.sessions // len(shown)


def _write_subject(
    folder: Path, subject: int, planted: PlantedNeuroids, settings: FolderSimulation
) -> None:
    folder.mkdir(parents=True)
    shown, session = presentation_order(subject, settings)
    rng = np.random.default_rng([settings.seed, subject, 21])
    noise = rng.standard_normal((len(shown), planted.signal.shape[1]), dtype=np.float32)
    responses = planted.ceiling * planted.signal[shown] + np.sqrt(1 - planted.ceiling**2) * noise
    n = responses.shape[1]
    mean = SESSION_SPREAD * rng.standard_normal((settings.sessions, n))
    scale = np.exp(SESSION_SPREAD * rng.standard_normal((settings.sessions, n)))
    responses = scale[session] * (responses + mean[session])
    lost = rng.permutation(n)[:N_NAN]
    responses[np.ix_(session == settings.sessions - 1, lost)] = np.nan
    np.save(folder / "responses.npy", responses.astype(np.float32))
    seen = pd.Series(shown).groupby(shown).cumcount()
    frame = {"stimulus_id": [_stimulus(image) for image in shown], "repetition": seen}
    pd.DataFrame({**frame, "session": session + 1}).to_csv(
        folder / "presentations.csv", index=False
    )
    _write_neuroids(folder, planted, settings)
    np.savez(folder / "ground_truth.npz", ncsnr=planted.ncsnr, signal=planted.signal, lost=lost)


def _write_neuroids(folder: Path, planted: PlantedNeuroids, settings: FolderSimulation) -> None:
    number = np.arange(len(planted.vertex))
    columns: dict[str, Array] = {"neuroid_id": number}
    if settings.hemispheres:
        columns |= {"hemisphere": planted.side, "vertex": planted.vertex}
    else:
        x, rest = number % GRID, number // GRID
        columns |= {"voxel_x": x, "voxel_y": rest % GRID, "voxel_z": rest // GRID}
    pd.DataFrame(columns).to_csv(folder / "neuroids.csv", index=False)
    rois = pd.DataFrame({"neuroid_id": number, "roi": planted.roi})
    rois.to_csv(folder / "rois.csv", index=False)


def _write_stimuli(folder: Path, images: Sequence[Array], settings: FolderSimulation) -> None:
    (folder / "images").mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / "images" / f"{_stimulus(number)}.png")
    numbers = range(len(images))
    sides = ["test" if number % TEST_EVERY == 0 else "train" for number in numbers]
    names = [_stimulus(number) for number in numbers]
    stimuli = {"stimulus_id": names, "filename": [f"{name}.png" for name in names], "split": sides}
    pd.DataFrame(stimuli).to_csv(folder / "stimuli.csv", index=False)
    space = "fsaverage" if settings.hemispheres else "volume"
    about = {"name": "simulated", "visual_degrees": 8.0, "units": "other", "space": space}
    write_text(folder / DESCRIPTION, json.dumps(about, indent=2) + "\n")


def _stimulus(number: int) -> str:
    return f"scene-{number:05d}"
