"""Ground truth of simulated MOSAIC subjects: grayordinates, stimuli, trials and their responses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from orchestrator.ingest.mosaic.areas import VISUAL_AREAS
from orchestrator.ingest.mosaic.grayordinates import FIRST, N_CORTEX, N_GRAYORDINATES
from orchestrator.ingest.nod.atlas import N_AREAS
from orchestrator.ingest.simulate.algonauts import MAX_SUBJECT, MIN_IMAGE_SIZE, N_STIMULI
from orchestrator.ingest.simulate.early_responses import early_signals
from orchestrator.ingest.simulate.higher_responses import higher_signals, standardise
from orchestrator.ingest.simulate.local_features import measure_features
from orchestrator.ingest.simulate.receptive_fields import draw_receptive_fields
from orchestrator.ingest.simulate.scenes import Scene
from orchestrator.ingest.simulate.simulation_folder import require
from orchestrator.ingest.simulate.surface import N_MESH
from trainables.spec.rois import HEMISPHERES, NOD_ROIS

Array = np.ndarray[Any, np.dtype[Any]]

AREA_SIZES: Final[Mapping[str, int]] = {"V1": 60, "V2": 50, "V3": 40, "V4": 30}
"""Vertices of an area in a hemisphere; the other visual areas have OTHER_SIZE."""
OTHER_SIZE: Final = 8
N_MISSING: Final = 5
"""Grayordinates of each hemisphere's V1 that lack a value in some trials."""
N_ARTIFICIAL: Final = 284
"""Artificial stimuli of NSD; their scenes have numbers from FIRST_ARTIFICIAL on."""
FIRST_ARTIFICIAL: Final = 400_000
PREFERENCE: Final[Mapping[str, str]] = {
    **{"FFC": "FFA-1", "PIT": "OFA"},
    **dict.fromkeys(("V8", "VVC", "VMV1", "VMV2", "VMV3"), "PPA"),
    **dict.fromkeys(("MT", "MST", "FST", "V4t"), "EBA"),
}
"""The ROI of NSD whose preferred objects an area prefers; the others prefer none."""
REPEATS: Final[Mapping[str, tuple[int, ...]]] = {"train": (1, 2), "test": (3,), "artificial": (2,)}
"""Trials of the stimuli of a phase, in turn."""


@dataclass(frozen=True)
class MosaicSimulation:
    """Settings of a simulation, which determine its files byte for byte."""

    subjects: tuple[int, ...] = (1, 2, 3)
    """Subject numbers, 1 to 8. A subject's files do not depend on the other subjects."""
    n_images: int = 200
    """Natural images per subject."""
    n_shared: int = 40
    """Number of these that all subjects share, which are the test images."""
    n_artificial: int = 6
    image_size: int = 64
    noise_ceiling: tuple[float, float] = (0.5, 0.7)
    """Range of the vertices' noise ceilings (Pearson r of signal and one trial)."""
    permute_responses: bool = False
    """Shuffle the responses over images, as a negative control."""
    datasets: tuple[str, ...] = ("NSD",)
    """Short names: NSD, whose files are named as COCO's, or others, named as ImageNet's."""
    layout: str = "mosaic"
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            len(self.subjects) > 0
            and list(self.subjects) == sorted(set(self.subjects) & set(range(1, MAX_SUBJECT + 1))),
            f"subjects {self.subjects}: expected ascending numbers from 1 to {MAX_SUBJECT}",
        )
        require(
            1 <= self.n_shared < self.n_images <= N_STIMULI // 9,
            f"{self.n_images} images of which {self.n_shared} are shared: expected at least one of "
            f"either kind, and at most {N_STIMULI // 9}",
        )
        require(
            0 <= self.n_artificial <= N_ARTIFICIAL,
            f"{self.n_artificial} artificial images: expected at most {N_ARTIFICIAL}",
        )
        require(
            self.image_size >= MIN_IMAGE_SIZE,
            f"image_size {self.image_size}: expected at least {MIN_IMAGE_SIZE} pixels",
        )
        require(self.seed >= 0, f"seed {self.seed}: expected 0 or more")


@dataclass(frozen=True)
class SimulatedAtlas:
    """One hemisphere's grayordinates."""

    vertices: Array
    """(N_CORTEX,) vertices of the mesh, ascending."""
    keys: Array
    """(N_CORTEX,) number of the area of each, as in the left hemisphere of HCP-MMP."""

    def columns(self, side: str, area: str) -> Array:
        """List the columns of an area of the responses, ascending."""
        columns: Array = FIRST[side] + np.flatnonzero(self.keys == VISUAL_AREAS[area])
        return columns


@dataclass(frozen=True)
class PlantedArea:
    """Ground truth of one area of one hemisphere."""

    columns: Array
    signal: Array
    """(n_stimuli, n_vertices), noiseless; mean 0 and variance 1."""
    noise_ceiling: Array
    """(n_vertices,): expected r between signal and one trial."""


@lru_cache(maxsize=4)
def build_atlas(seed: int, side: str) -> SimulatedAtlas:
    """Scatter the visual areas over the mesh; the other areas have what is left."""
    rng = np.random.default_rng([seed, HEMISPHERES.index(side), 31])
    vertices = np.sort(rng.choice(N_MESH, N_CORTEX[side], replace=False))
    others = [key for key in range(1, N_AREAS + 1) if key not in VISUAL_AREAS.values()]
    sizes = {key: AREA_SIZES.get(area, OTHER_SIZE) for area, key in VISUAL_AREAS.items()}
    planted = np.repeat(list(sizes), list(sizes.values()))
    keys = np.concatenate([planted, np.resize(others, N_CORTEX[side] - len(planted))])
    return SimulatedAtlas(vertices, rng.permutation(keys).astype(np.int32))


def missing_columns(seed: int) -> Array:
    """List the grayordinates that lack a value in some trials: some of V1, and one elsewhere."""
    of_v1 = [build_atlas(seed, side).columns(side, "V1")[:N_MISSING] for side in HEMISPHERES]
    return np.concatenate([*of_v1, [N_GRAYORDINATES - 7]])


def choose_stimuli(subject: int, settings: MosaicSimulation) -> dict[str, Array]:
    """Choose the scenes of a subject, by phase; the test images are those of all subjects."""
    shared = np.random.default_rng([settings.seed, 0, 32]).permutation(N_STIMULI // 9)
    own = np.random.default_rng([settings.seed, subject, 32]).permutation(N_STIMULI // 9)
    return {
        "train": 9 * own[: settings.n_images - settings.n_shared] + subject,
        "test": 9 * shared[: settings.n_shared],
        "artificial": FIRST_ARTIFICIAL + np.arange(settings.n_artificial),
    }


def count_trials(phase: str, place: int) -> int:
    """Return the number of trials of the stimulus at a place of its phase."""
    return REPEATS[phase][place % len(REPEATS[phase])]


def plant_areas(
    seed: Sequence[int],
    scenes: Sequence[Scene],
    images: Sequence[Array],
    settings: MosaicSimulation,
) -> dict[str, dict[str, PlantedArea]]:
    """Simulate the visual areas of both hemispheres, for a subject's stimuli.

    seed: of the subject in its data set.
    """
    features = measure_features(images)
    planted: dict[str, dict[str, PlantedArea]] = {}
    for place, side in enumerate(HEMISPHERES):
        planted[side] = {}
        for area, key in VISUAL_AREAS.items():
            rng = np.random.default_rng([*seed, place, 33, key])
            columns = build_atlas(settings.seed, side).columns(side, area)
            if area in NOD_ROIS:
                fields = draw_receptive_fields(area, side, len(columns), rng)
                found = early_signals(features, area, fields, rng)
            else:
                prefers = PREFERENCE.get(area, "lateral")
                found = higher_signals(scenes, prefers, len(columns), rng)
            ceiling = rng.uniform(*settings.noise_ceiling, len(columns))
            planted[side][area] = PlantedArea(columns, standardise(found), ceiling)
    return planted
