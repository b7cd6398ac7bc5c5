"""Ground truth of simulated NOD subjects: stimuli, responses and pRF parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestrator.ingest.simulate.algonauts import MIN_IMAGE_SIZE
from orchestrator.ingest.simulate.early_responses import early_signals
from orchestrator.ingest.simulate.higher_responses import standardise
from orchestrator.ingest.simulate.local_features import LocalFeatures, measure_features
from orchestrator.ingest.simulate.receptive_fields import draw_receptive_fields
from orchestrator.ingest.simulate.simulation_folder import require
from orchestrator.ingest.simulate.surface import SimulatedSurface, build_surface
from trainables.spec.rois import HEMISPHERES, NOD_ROIS

Array = np.ndarray[Any, np.dtype[Any]]

MAX_SUBJECT: Final = 9
STIMULI_OF_SUBJECT: Final = 10_000
FIRST_STIMULUS: Final = 200_000
"""First stimulus number; NSD subjects and pretraining use none from here on."""
PRF_MAPS: Final = ("ang", "ecc", "rfsize", "R2")
OTHER_R2: Final = 5.0
"""Highest pRF R² (per cent) of a vertex that has only noise."""


@dataclass(frozen=True)
class NodSimulation:
    """Settings of a simulation, which determine its files byte for byte."""

    subjects: tuple[int, ...] = (1, 2, 3)
    """Subject numbers, 1 to 9. A subject's files do not depend on the other subjects."""
    n_images: int = 900
    """Images per subject, each shown once, and to this subject only."""
    n_sessions: int = 2
    n_runs: int = 3
    """Runs per session; all have the same number of trials."""
    image_size: int = 64
    """Width and height in pixels of rendered scenes, before they are stretched."""
    noise_ceiling: tuple[float, float] = (0.6, 0.8)
    """Range of the vertices' noise ceilings (Pearson r of signal and measured response)."""
    permute_responses: bool = False
    """Shuffle the responses over images, as a negative control."""
    layout: str = "nod"
    seed: int = 0

    def __post_init__(self) -> None:
        numbers = list(self.subjects)
        n_runs = self.n_sessions * self.n_runs
        require(
            len(numbers) > 0 and numbers == sorted(set(numbers) & set(range(1, MAX_SUBJECT + 1))),
            f"subjects {self.subjects}: expected ascending numbers from 1 to {MAX_SUBJECT}",
        )
        require(self.n_sessions >= 1 and self.n_runs >= 1, "expected at least one session and run")
        require(
            self.n_images % n_runs == 0 and 2 * n_runs <= self.n_images <= STIMULI_OF_SUBJECT,
            f"{self.n_images} images: expected a multiple of {n_runs} runs, at least two per run "
            f"and at most {STIMULI_OF_SUBJECT}",
        )
        require(
            self.image_size >= MIN_IMAGE_SIZE,
            f"image_size {self.image_size}: expected at least {MIN_IMAGE_SIZE} pixels",
        )
        require(
            0 <= self.noise_ceiling[0] <= self.noise_ceiling[1] <= 1,
            f"noise_ceiling {self.noise_ceiling}: expected a range within 0 and 1",
        )
        require(self.seed >= 0, f"seed {self.seed}: expected 0 or more")


@dataclass(frozen=True)
class PlantedHalf:
    """Ground truth of one hemisphere of one subject."""

    surface: SimulatedSurface
    responses: Array
    """(n_images, n_vertices) float32, before the scale and offset of each run."""
    betas: Array
    """(n_images, n_vertices) float32, with a scale and an offset per run and vertex."""
    noise_ceiling: Array
    """(n_vertices,) float32; 0 for vertices of noise only."""
    prf: Array
    """(4, n_vertices) float32: angle in degrees, eccentricity and size in half image widths, R² in
    per cent; NaN outside the areas."""


def choose_stimuli(subject: int, settings: NodSimulation) -> Array:
    """Choose a subject's stimuli in the order of trials: (n_images,) numbers."""
    rng = np.random.default_rng([settings.seed, subject, 22])
    own = rng.permutation(STIMULI_OF_SUBJECT)[: settings.n_images]
    return FIRST_STIMULUS + subject * STIMULI_OF_SUBJECT + own


def plant_nod(
    subject: int, images: Sequence[Array], settings: NodSimulation
) -> dict[str, PlantedHalf]:
    """Simulate the responses of each hemisphere to a subject's images, in the order of trials."""
    features = measure_features(images)
    return {side: _plant_half(subject, side, features, settings) for side in HEMISPHERES}


def _plant_half(
    subject: int, hemisphere: str, features: LocalFeatures, settings: NodSimulation
) -> PlantedHalf:
    surface = build_surface(settings.seed, hemisphere)
    rng = np.random.default_rng([settings.seed, subject, HEMISPHERES.index(hemisphere), 23])
    n_images, n_vertices = len(features), len(surface.vertices)
    signal = np.zeros((n_images, n_vertices), np.float32)
    prf = np.full((len(PRF_MAPS), n_vertices), np.nan, np.float32)
    ceiling = np.zeros(n_vertices, np.float32)
    for roi in NOD_ROIS:
        places = surface.places(roi)
        fields = draw_receptive_fields(roi, hemisphere, len(places), rng)
        signal[:, places] = standardise(early_signals(features, roi, fields, rng))
        ceiling[places] = rng.uniform(*settings.noise_ceiling, len(places))
        prf[0, places] = np.degrees(np.arctan2(fields.centre[:, 1], fields.centre[:, 0])) % 360
        prf[1, places] = np.hypot(*fields.centre.T)
        prf[2, places] = fields.width
    labelled = surface.area != ""
    noise_r2 = rng.uniform(0, OTHER_R2, n_vertices)
    prf[3, labelled] = np.where(ceiling > 0, 100 * ceiling**2, noise_r2)[labelled]
    noise = rng.standard_normal(signal.shape, dtype=np.float32)
    responses = ceiling * signal + np.sqrt(1 - ceiling**2) * noise
    if settings.permute_responses:
        order = np.random.default_rng([settings.seed, subject, 24]).permutation(n_images)
        responses = responses[order]
    betas = _by_run(responses, settings, rng)
    return PlantedHalf(surface, responses, betas, ceiling, prf)


def _by_run(responses: Array, settings: NodSimulation, rng: np.random.Generator) -> Array:
    """Give each vertex a mean and a scale of its own in each run, as in scanner runs."""
    n_runs = settings.n_sessions * settings.n_runs
    runs = responses.reshape(n_runs, -1, responses.shape[1])
    scale = np.exp(rng.normal(0, 0.3, (n_runs, 1, responses.shape[1])))
    shift = rng.normal(0.5, 0.5, (n_runs, 1, responses.shape[1]))
    betas: Array = (scale * runs + shift).astype(np.float32).reshape(responses.shape)
    return betas
