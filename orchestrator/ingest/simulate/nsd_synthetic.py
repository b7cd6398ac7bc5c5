"""Write simulated NSD-synthetic beside simulated NSD: changed scenes, shown in one more session.

There are as many images of each of eight classes; those of the last two are each subject's own, as
the coloured ones of the data set are. Pixels are stored as a linear display takes them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import scipy.io

from orchestrator.ingest.image_places import linear_display
from orchestrator.ingest.simulate.algonauts import N_STIMULI, plant, subject_name
from orchestrator.ingest.simulate.nsd_betas import write_betas
from orchestrator.ingest.simulate.nsd_ground_truth import (
    N_MESH,
    REPEATS,
    NsdSimulation,
    PlantedDesign,
)
from orchestrator.ingest.simulate.scenes import Scene, compose, render
from trainables.spec.rois import HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]
Change = Callable[[Array], Array]

CHANGES: Final[Mapping[str, Change]] = {
    "natural": lambda pixels: pixels,
    "low-contrast": lambda pixels: 128 + 0.3 * (pixels - 128),
    "negative": lambda pixels: 255 - pixels,
    "mirrored": lambda pixels: pixels[:, ::-1],
    "upside-down": lambda pixels: pixels[::-1],
    "grey": lambda pixels: np.repeat(pixels.mean(axis=2, keepdims=True), 3, axis=2),
    "reddened": lambda pixels: pixels * (1, 0.6, 0.6),
    "channels-turned": lambda pixels: pixels[:, :, (1, 2, 0)],
}
"""Classes of images, and how their scenes are changed: (size, size, 3) from 0 to 255. The last two
are coloured, and differ between subjects."""
N_COLOURED: Final = 2
PER_SUBCLASS: Final = 4
"""Images of a subclass."""
WIDTH: Final = 1360 / 714
"""Width of an image by its height."""
FOLDER: Final = "nsdsynthetic"
BETAS: Final = "nsdsyntheticbetas_fithrf_GLMdenoise_RR"


def write_synthetic(folder: Path, design: PlantedDesign, settings: NsdSimulation) -> None:
    """Write design, classes, stimuli and betas on fsaverage of every simulated subject."""
    n_images = settings.n_synthetic
    n_common = n_images - n_images * N_COLOURED // len(CHANGES)
    experiment = folder / "nsddata" / "experiments" / FOLDER
    experiment.mkdir(parents=True)
    rng = np.random.default_rng([settings.seed, 13])
    repeats = np.where(np.arange(n_images) % 9 == 8, 2 * 2, 2)
    shown = rng.permutation(np.repeat(np.arange(n_images), repeats))
    content = {"masterordering": shown[None].astype(np.uint16) + 1}
    scipy.io.savemat(experiment / "nsdsynthetic_expdesign.mat", content)
    _write_classes(experiment / "nsdsyntheticimageinformation.csv", n_images)
    stimuli = folder / "nsddata_stimuli" / "stimuli" / FOLDER
    stimuli.mkdir(parents=True)
    for subject in settings.subjects:
        scenes, stored = draw_synthetic(subject, settings)
        own = stimuli / f"nsdsynthetic_colorstimuli_{subject_name(subject)}.hdf5"
        _write_stack(own, stored[n_common:])
        if subject == settings.subjects[0]:
            _write_stack(stimuli / "nsdsynthetic_stimuli.hdf5", stored[:n_common])
        _write_betas(folder, subject, design, (scenes, stored), shown, settings)


def draw_synthetic(subject: int, settings: NsdSimulation) -> tuple[list[Scene], list[Array]]:
    """Draw a subject's images: their scenes, and their pixels as they are stored."""
    n_images = settings.n_synthetic
    n_common = n_images - n_images * N_COLOURED // len(CHANGES)
    names = list(CHANGES)
    scenes, stored = [], []
    for number in range(n_images):
        own = 0 if number < n_common else subject
        scene = compose(settings.seed, N_STIMULI + 1000 * own + number)
        pixels = render(scene, settings.image_size).astype(np.float64)
        changed = CHANGES[names[number * len(names) // n_images]](pixels)
        scenes.append(scene)
        stored.append(_for_display(np.clip(changed, 0, 255)))
    return scenes, stored


def _for_display(pixels: Array) -> Array:
    """Put a square image into the middle of a wide grey one, in values of a linear display."""
    size = len(pixels)
    wide = np.full((size, round(size * WIDTH), 3), 128.0)
    left = (wide.shape[1] - size) // 2
    wide[:, left : left + size] = pixels
    stored: Array = np.rint(255 * np.square(wide / 255)).astype(np.uint8)
    return stored


def _write_stack(path: Path, images: list[Array]) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("imgBrick", data=np.stack(images))


def _write_classes(path: Path, n_images: int) -> None:
    names = list(CHANGES)
    lines = [
        "Image number,Image,Image subclass number,Image subclass,Image class number,Image class"
    ]
    for number in range(n_images):
        place, subclass = number * len(names) // n_images, number // PER_SUBCLASS
        name = names[place]
        cells = (number + 1, f"{name} {number + 1}", subclass + 1, f"{name} {subclass + 1}")
        lines.append(",".join(map(str, (*cells, place + 1, name))))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _write_betas(
    folder: Path,
    subject: int,
    design: PlantedDesign,
    drawn: tuple[list[Scene], list[Array]],
    shown: Array,
    settings: NsdSimulation,
) -> None:
    """Write the session's betas, by the forward model of the subject's NSD."""
    ids = design.images[subject - 1]
    first = [compose(settings.seed, stimulus) for stimulus in ids.tolist()]
    scenes = [*first, *drawn[0]]
    images = [render(one, settings.image_size) for one in first]
    images += [linear_display(one) for one in drawn[1]]
    planted = plant(subject, scenes, images, settings.plain(), n_reference=len(first))
    betas = folder / "nsddata_betas" / "ppdata" / subject_name(subject) / "fsaverage" / BETAS
    betas.mkdir(parents=True)
    order = shown
    if settings.permute_responses:
        order = np.random.default_rng([settings.seed, subject, 14]).permutation(shown)
    for side, (cortex, responses) in planted.items():
        rng = np.random.default_rng([settings.seed, subject, HEMISPHERES.index(side), 15])
        of_mean = responses.noise_ceiling.astype(np.float64)
        ncsnr = of_mean / np.sqrt(REPEATS * (1 - of_mean**2))
        signal = responses.signal[len(first) :][order]
        noise = rng.standard_normal(signal.shape, dtype=np.float32)
        values = (0.5 + 1.5 * (signal * ncsnr + noise)).astype(np.float32)
        mesh = rng.standard_normal((len(values), N_MESH), dtype=np.float32)
        mesh[:, cortex.fsaverage] = values
        write_betas(betas / f"{side}.betas_nsdsynthetic.mgh", mesh)
