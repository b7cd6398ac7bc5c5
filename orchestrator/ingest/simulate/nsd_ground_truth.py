"""The planted responses of simulated NSD subjects, trial by trial, and the design of the sessions.

A trial's beta is the signal of its image plus noise, whose deviation is that of the signal divided
by the vertex's ncsnr. Each session scales and shifts every vertex anew, as scanning does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from orchestrator.ingest.nsd.settings import SpaceName
from orchestrator.ingest.simulate.algonauts import (
    MAX_SUBJECT,
    SimulationSettings,
    choose_stimuli,
    plant,
)
from orchestrator.ingest.simulate.cortex import Cortex
from orchestrator.ingest.simulate.scenes import compose, render
from orchestrator.ingest.simulate.simulation_folder import require
from trainables.spec.rois import HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]

REPEATS: Final = 3
"""Trials of an image."""
N_MESH: Final = 10_242
"""Vertices of a hemisphere: the first ones of fsaverage, which are those of fsaverage5."""
N_RUNS: Final = 12
N_INVALID: Final = 3
"""Vertices of a hemisphere that have no data in the second session."""
INVALID_SESSION: Final = 2


@dataclass(frozen=True)
class NsdSimulation:
    """Settings of a simulation, which determine its files byte for byte."""

    subjects: tuple[int, ...] = (1, 2, 3)
    """Subject numbers, 1 to 8. A subject's files do not depend on the other subjects."""
    n_images: int = 240
    """Images of a subject, each in three trials."""
    n_shared: int = 48
    """Number of these that all subjects share."""
    n_sessions: int = 6
    image_size: int = 64
    noise_ceiling: tuple[float, float] = (0.6, 0.8)
    """Range of the noise ceilings of a mean of three trials."""
    permute_responses: bool = False
    """Shuffle the responses over trials, as a negative control."""
    seed: int = 0
    spaces: tuple[SpaceName, ...] = ("fsaverage",)
    """Spaces that the betas are written in."""
    n_synthetic: int = 0
    """Images of NSD-synthetic, which is written beside NSD, on fsaverage; 0: none."""

    def __post_init__(self) -> None:
        self.plain()
        require(
            2 <= self.n_sessions <= self.n_images // 4,
            f"{self.n_sessions} sessions of {self.n_images} images: expected 2 or more, and 12 "
            "trials in each",
        )
        require(
            self.n_synthetic % 32 == 0 and (not self.n_synthetic or "fsaverage" in self.spaces),
            f"{self.n_synthetic} images of NSD-synthetic in {', '.join(self.spaces)}: expected a "
            "multiple of 32 (eight classes, subclasses of four), on fsaverage",
        )

    def plain(self) -> SimulationSettings:
        """Return the settings that choose a subject's images and plant its signals."""
        return SimulationSettings(
            subjects=self.subjects,
            n_images=self.n_images,
            n_shared=self.n_shared,
            n_test_images=0,
            image_size=self.image_size,
            noise_ceiling=self.noise_ceiling,
            seed=self.seed,
        )


@dataclass(frozen=True)
class PlantedDesign:
    """The design of all subjects; numbers count from 0."""

    ordering: Array
    """(n_trials,) place of each trial's image among a subject's."""
    images: Array
    """(8, n_images) nsdIds, the shared ones first and ascending."""
    n_shared: int
    sessions: tuple[slice, ...]
    """The trials of each session."""


def plan_design(settings: NsdSimulation) -> PlantedDesign:
    """Plan which image each trial shows: one order for all subjects, three trials an image."""
    rng = np.random.default_rng([settings.seed, 7])
    n_images, n_shared = settings.n_images, settings.n_shared
    rows = []
    for subject in range(1, MAX_SUBJECT + 1):
        chosen, _ = choose_stimuli(subject, settings.plain())
        shared = chosen[chosen % 9 == 0]
        own = np.random.default_rng([settings.seed, subject, 8]).permutation(
            np.setdiff1d(chosen, shared)
        )
        rows.append(np.concatenate([shared, own]))
    ordering = rng.permutation(np.repeat(np.arange(n_images), REPEATS))
    parts = np.array_split(np.arange(len(ordering)), settings.n_sessions)
    sessions = tuple(slice(int(part[0]), int(part[-1]) + 1) for part in parts)
    return PlantedDesign(ordering, np.stack(rows), n_shared, sessions)


@dataclass(frozen=True)
class PlantedVertices:
    """One hemisphere of a simulated subject: the vertices that its cortex has."""

    cortex: Cortex
    signal: Array
    """(n_images, n_vertices) float32 by place in the design; variance 1, or 0 without signal."""
    ncsnr: Array
    """(n_vertices,) float32; 0 without signal."""
    invalid: Array
    """Vertices without data in INVALID_SESSION."""


def plant_nsd(
    subject: int, design: PlantedDesign, settings: NsdSimulation
) -> dict[str, PlantedVertices]:
    """Simulate a subject's cortex and the signals of its images, for each hemisphere."""
    ids = design.images[subject - 1]
    scenes = [compose(settings.seed, stimulus) for stimulus in ids.tolist()]
    images = [render(scene, settings.image_size) for scene in scenes]
    planted = {}
    for side, (cortex, responses) in plant(subject, scenes, images, settings.plain()).items():
        of_mean = responses.noise_ceiling.astype(np.float64)
        ncsnr = of_mean / np.sqrt(REPEATS * (1 - of_mean**2))
        rng = np.random.default_rng([settings.seed, subject, HEMISPHERES.index(side), 9])
        invalid = np.sort(rng.permutation(cortex.n_vertices)[:N_INVALID])
        planted[side] = PlantedVertices(cortex, responses.signal, ncsnr.astype(np.float32), invalid)
    return planted


def session_betas(
    subject: int,
    session: int,
    design: PlantedDesign,
    planted: Mapping[str, PlantedVertices],
    settings: NsdSimulation,
) -> dict[str, Array]:
    """Simulate a session, counted from 1: (n_trials, n_vertices) float32 in per cent.

    Vertices without data in the session are NaN.
    """
    places = design.ordering[design.sessions[session - 1]]
    if settings.permute_responses:
        places = np.random.default_rng([settings.seed, subject, session, 10]).permutation(places)
    betas = {}
    for side, half in planted.items():
        rng = np.random.default_rng([settings.seed, subject, HEMISPHERES.index(side), session, 11])
        n_vertices = half.cortex.n_vertices
        noise = rng.standard_normal((len(places), n_vertices), dtype=np.float32)
        standard = half.signal[places] * half.ncsnr + noise
        scale = rng.uniform(0.5, 3, n_vertices) / np.sqrt(1 + half.ncsnr**2)
        found = (rng.normal(0.5, 1, n_vertices) + scale * standard).astype(np.float32)
        if session == INVALID_SESSION:
            found[:, half.invalid] = np.nan
        betas[side] = found
    return betas
