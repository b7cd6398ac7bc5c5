"""Write simulated subjects in the layout of the Algonauts 2023 files.

Images are procedural (``scenes``) or a user's own (``photographs``), responses follow a forward
model (``forward_model``), and ``cortex`` lays out the vertices. docs/method-simulation.md describes
the simulation.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from PIL import Image

from orchestrator.ingest.simulate.cortex import (
    HOMES,
    N_FSAVERAGE,
    Cortex,
    build_cortex,
    mapping_label,
)
from orchestrator.ingest.simulate.forward_model import Responses, respond
from orchestrator.ingest.simulate.local_features import measure_features
from orchestrator.ingest.simulate.photographs import Photographs
from orchestrator.ingest.simulate.scenes import Scene, compose, render
from orchestrator.ingest.simulate.simulation_folder import require, write_once
from trainables.spec.rois import EARLY, HEMISPHERES, ROI_FAMILIES

Array = np.ndarray[Any, np.dtype[Any]]
Layout = Literal["subject-first", "split-first"]

MAX_SUBJECT: Final = 8
N_STIMULI: Final = 73_000
"""Number of NSD stimuli. Stimulus k is shared if k mod 9 is 0, else shown to subject k mod 9."""
MIN_IMAGE_SIZE: Final = 32


@dataclass(frozen=True)
class SimulationSettings:
    """Settings of a simulation, which determine its files byte for byte."""

    subjects: tuple[int, ...] = (1, 2, 3)
    """Subject numbers, 1 to 8. A subject's files do not depend on the other subjects."""
    n_images: int = 900
    """Images with responses per subject."""
    n_shared: int = 200
    """Number of these that all subjects share."""
    n_test_images: int = 4
    """Images without responses per subject, as in the challenge's test split."""
    image_size: int = 64
    """Width and height of the images in pixels."""
    noise_ceiling: tuple[float, float] = (0.6, 0.8)
    """Range of the vertices' noise ceilings (Pearson r of signal and measured response);
    at 0.71 signal and noise have the same variance."""
    layout: Layout = "subject-first"
    """subject-first: ``subj01/training_split/…``. split-first: ``training_images/Subj1/…``."""
    permute_responses: bool = False
    """Shuffle the responses over images, as a negative control."""
    seed: int = 0
    photographs: str = ""
    """Digest of the user's photographs; empty: scenes. What photographs show is not known, so that
    only early ROIs respond to them."""

    def __post_init__(self) -> None:
        own = min(self.n_images - self.n_shared + self.n_test_images, N_STIMULI)
        require(
            len(self.subjects) > 0
            and list(self.subjects) == sorted(set(self.subjects) & set(range(1, MAX_SUBJECT + 1))),
            f"subjects {self.subjects}: expected ascending numbers from 1 to {MAX_SUBJECT}",
        )
        require(
            0 <= self.n_shared <= self.n_images and self.n_images >= 2,
            f"{self.n_images} images of which {self.n_shared} shared: expected at least 2 images "
            "and no more shared ones",
        )
        require(self.n_test_images >= 0, f"n_test_images {self.n_test_images} is below 0")
        require(
            max(own, self.n_shared) <= N_STIMULI // 9,
            f"{self.n_images} images, {self.n_shared} shared: expected at most {N_STIMULI // 9} "
            "shared images, and as many that are not shared",
        )
        require(
            self.image_size >= MIN_IMAGE_SIZE,
            f"image_size {self.image_size}: expected at least {MIN_IMAGE_SIZE} pixels",
        )
        require(
            0 <= self.noise_ceiling[0] <= self.noise_ceiling[1] <= 1,
            f"noise_ceiling {self.noise_ceiling}: expected a range within 0 and 1",
        )
        require(
            self.layout in get_args(Layout),
            f"layout {self.layout!r}: expected one of {get_args(Layout)}",
        )
        require(self.seed >= 0, f"seed {self.seed}: expected 0 or more")


@dataclass(frozen=True)
class Places:
    """Paths of one subject's files in a layout."""

    training_images: Path
    test_images: Path
    responses: dict[str, Path]
    """The response file of each hemisphere."""
    masks: Path

    @classmethod
    def of(cls, root: Path, subject: int, layout: Layout) -> "Places":
        """Return the paths of one subject."""
        if layout == "split-first":
            name = f"Subj{subject}"
            fmri = root / "training_fmri" / name
            return cls(
                root / "training_images" / name,
                root / "test_images" / name,
                {h: fmri / f"subj{subject}_{h}_training_fmri.npy" for h in HEMISPHERES},
                root / "roi_masks" / name,
            )
        home = root / subject_name(subject)
        fmri = home / "training_split" / "training_fmri"
        return cls(
            home / "training_split" / "training_images",
            home / "test_split" / "test_images",
            {h: fmri / f"{h}_training_fmri.npy" for h in HEMISPHERES},
            home / "roi_masks",
        )


def subject_name(subject: int) -> str:
    """Return a subject's name in NSD: ``subj01``."""
    return f"subj{subject:02d}"


def noise_ceiling_file(root: Path, subject: int, hemisphere: str) -> Path:
    """Return the path of a hemisphere's noise ceilings: (n_vertices,) float32 Pearson r."""
    return root / "noise_ceilings" / subject_name(subject) / f"{hemisphere}.npy"


def simulate(
    out: Path, settings: SimulationSettings, photographs: Photographs | None = None
) -> None:
    """Write the simulated subjects to out, unless they exist.

    photographs: those of the settings' digest: n_images with responses, then the test images.
    Raises ValueError when out holds subjects of other settings, or anything else.
    """

    def write(folder: Path) -> None:
        for subject in settings.subjects:
            _write_subject(folder, subject, settings, photographs)

    write_once(out, asdict(settings), write)


def choose_stimuli(subject: int, settings: SimulationSettings) -> tuple[Array, Array]:
    """Choose a subject's NSD ids, ascending: (n_images,) with responses, (n_test,) without."""
    n_own = settings.n_images - settings.n_shared
    shared = _draw_stimuli(0, settings.n_shared, settings.seed)
    own = _draw_stimuli(subject, n_own + settings.n_test_images, settings.seed)
    return np.sort(np.concatenate([shared, own[:n_own]])), np.sort(own[n_own:])


def _draw_stimuli(rest: int, n_stimuli: int, seed: int) -> Array:
    rng = np.random.default_rng([seed, rest, 5])
    return 9 * rng.permutation(N_STIMULI // 9)[:n_stimuli] + rest


@dataclass(frozen=True)
class Shown:
    """What a subject sees: the images with responses, then the test images."""

    training: Array
    """(n_images,) NSD ids of those with responses."""
    test: Array
    """(n_test,) NSD ids of the others."""
    images: Sequence[Array]
    """(size, size, 3) uint8 each."""
    scenes: Sequence[Scene]
    """What each image shows; none for photographs."""


def show(subject: int, settings: SimulationSettings, photographs: Photographs | None) -> Shown:
    """Render, or read, all images of a subject."""
    training, test = choose_stimuli(subject, settings)
    size = settings.image_size
    if photographs is not None:
        images = [photographs.read(k, size) for k in range(len(training) + len(test))]
        return Shown(training, test, images, [])
    scenes = [compose(settings.seed, k) for k in (*training.tolist(), *test.tolist())]
    return Shown(training, test, [render(one, size) for one in scenes], scenes)


def plant(
    subject: int,
    scenes: Sequence[Scene],
    images: Sequence[Array],
    settings: SimulationSettings,
    n_reference: int | None = None,
) -> dict[str, tuple[Cortex, Responses]]:
    """Simulate a subject's cortex and its responses to images, for each hemisphere.

    scenes: what the images show; none for photographs. n_reference: as of :func:`respond`.
    """
    homes = EARLY if settings.photographs else HOMES
    features = measure_features(images)
    planted = {}
    for hemisphere in HEMISPHERES:
        cortex = build_cortex(settings.seed, subject, hemisphere, homes)
        seed = (settings.seed, subject)
        responses = respond(
            cortex, hemisphere, scenes, features, settings.noise_ceiling, seed, n_reference
        )
        planted[hemisphere] = (cortex, responses)
    return planted


def _write_subject(
    root: Path, subject: int, settings: SimulationSettings, photographs: Photographs | None
) -> None:
    places = Places.of(root, subject, settings.layout)
    shown = show(subject, settings, photographs)
    n_images = len(shown.training)
    scenes, images = shown.scenes[:n_images], shown.images[:n_images]
    _write_images(places.training_images, "train", shown.training, images)
    _write_images(places.test_images, "test", shown.test, shown.images[n_images:])
    rows = _row_order(subject, settings)
    for hemisphere, (cortex, responses) in plant(subject, scenes, images, settings).items():
        save_array(places.responses[hemisphere], responses.measured[rows])
        save_array(noise_ceiling_file(root, subject, hemisphere), responses.noise_ceiling)
        _write_masks(places.masks, hemisphere, cortex)
    _write_mappings(places.masks)


def _row_order(subject: int, settings: SimulationSettings) -> Array:
    """Return the order of a subject's responses: that of the images, or a random one."""
    if not settings.permute_responses:
        return np.arange(settings.n_images)
    return np.random.default_rng([settings.seed, subject, 6]).permutation(settings.n_images)


def _write_images(folder: Path, split: str, stimuli: Array, images: Sequence[Array]) -> None:
    folder.mkdir(parents=True)
    for place, (stimulus, image) in enumerate(zip(stimuli, images, strict=True), start=1):
        Image.fromarray(image).save(folder / f"{split}-{place:04d}_nsd-{stimulus:05d}.png")


def _write_masks(folder: Path, hemisphere: str, cortex: Cortex) -> None:
    for family, labels in cortex.labels.items():
        save_array(folder / f"{hemisphere}.{family}_challenge_space.npy", labels)
    present = np.zeros(N_FSAVERAGE, np.int32)
    present[cortex.fsaverage] = 1
    save_array(folder / f"{hemisphere}.all-vertices_fsaverage_space.npy", present)


def _write_mappings(folder: Path) -> None:
    """Write the ROI names of each mask family: a pickled dict in a 0-d array, as the challenge."""
    for family, rois in ROI_FAMILIES.items():
        names = {0: "Unknown", **{k: mapping_label(roi) for k, roi in enumerate(rois, start=1)}}
        save_array(folder / f"mapping_{family}.npy", np.array(names, dtype=object))


def save_array(path: Path, array: Array) -> None:
    """Write an array as .npy; make its directory."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
