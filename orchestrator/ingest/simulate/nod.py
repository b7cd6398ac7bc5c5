"""Write simulated subjects in NOD's layout, as CIFTI files.

Images come from ``scenes``, responses from ``nod_ground_truth`` and grayordinates from
``surface``. docs/method-simulation.md describes the simulation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import Axis, LabelAxis, ScalarAxis
from PIL import Image

from orchestrator.ingest.simulate.nod_ground_truth import (
    PRF_MAPS,
    NodSimulation,
    PlantedHalf,
    choose_stimuli,
    plant_nod,
)
from orchestrator.ingest.simulate.scenes import Scene, compose, render
from orchestrator.ingest.simulate.simulation_folder import write_once
from orchestrator.ingest.simulate.surface import (
    SimulatedSurface,
    brain_models,
    build_surface,
    label_names,
    label_vertices,
    with_subcortex,
)
from trainables.spec.rois import HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]

FIRST_SYNSET: Final = 90_000_001
"""Class k of the scenes is named n90000001 + k, an id that ImageNet does not use."""
PICTURE_SIZES: Final = ((500, 375), (375, 500), (500, 333), (333, 500), (500, 500))
"""Width and height of the image files, typical of ImageNet."""


def simulate_nod(out: Path, settings: NodSimulation) -> None:
    """Write the simulated subjects to out, unless they exist.

    Raises ValueError when out holds subjects of other settings, or anything else.
    """
    surfaces = {side: build_surface(settings.seed, side) for side in HEMISPHERES}

    def write(folder: Path) -> None:
        _write_atlas(folder / "atlas" / "HCP-MMP.32k_fs_LR.dlabel.nii", surfaces)
        for subject in settings.subjects:
            _write_subject(folder, subject, settings)

    write_once(out, asdict(settings), write)


def image_name(scene: Scene, stimulus: int) -> str:
    """Return an image's path under ``stimuli``, named as in ImageNet by the main object's class."""
    synset = f"n{FIRST_SYNSET + scene.main.label}"
    return f"imagenet/{synset}/{synset}_{stimulus}.JPEG"


def _write_subject(root: Path, subject: int, settings: NodSimulation) -> None:
    stimuli = choose_stimuli(subject, settings).tolist()
    scenes = [compose(settings.seed, stimulus) for stimulus in stimuli]
    images = [render(scene, settings.image_size) for scene in scenes]
    names = [image_name(scene, k) for scene, k in zip(scenes, stimuli, strict=True)]
    for name, stimulus, image in zip(names, stimuli, images, strict=True):
        _write_image(root / "stimuli" / name, image, [settings.seed, stimulus, 25])
    halves = plant_nod(subject, images, settings)
    results = root / "derivatives" / "ciftify" / f"sub-{subject:02d}" / "results"
    _write_prf(results, halves)
    n_trials = settings.n_images // (settings.n_sessions * settings.n_runs)
    for place in range(settings.n_sessions * settings.n_runs):
        session, number = place // settings.n_runs + 1, place % settings.n_runs + 1
        rows = slice(place * n_trials, (place + 1) * n_trials)
        run = f"ses-imagenet{session:02d}_task-imagenet_run-{number}"
        _write_run(results, run, halves, rows, names[rows])
        func = root / f"sub-{subject:02d}" / f"ses-imagenet{session:02d}" / "func"
        task = f"sub-{subject:02d}_ses-imagenet{session:02d}_task-imagenet"
        _write_events(func / f"{task}_run-{number:02d}_events.tsv", names[rows])


def _write_run(
    results: Path, run: str, halves: Mapping[str, PlantedHalf], rows: slice, names: Sequence[str]
) -> None:
    """Write one run's betas, one map per trial, and the names of their images."""
    cortex = brain_models({side: half.surface for side, half in halves.items()})
    betas = np.concatenate([halves[side].betas[rows] for side in HEMISPHERES], axis=1)
    bare = [Path(name).name for name in names]
    _write_cifti(results / run / f"{run}_beta.dscalar.nii", betas, ScalarAxis(bare), cortex)
    (results / run / f"{run}_label.txt").write_text(
        "".join(f"{name}\n" for name in bare), encoding="utf-8"
    )


def _write_image(path: Path, image: Array, seed: Sequence[int]) -> None:
    """Write an image stretched to one of ImageNet's sizes; ingest makes it square again."""
    size = PICTURE_SIZES[np.random.default_rng(seed).integers(len(PICTURE_SIZES))]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).resize(size, Image.Resampling.BICUBIC).save(path, quality=90)


def _write_prf(results: Path, halves: Mapping[str, PlantedHalf]) -> None:
    cortex = brain_models({side: half.surface for side, half in halves.items()})
    everywhere = with_subcortex(cortex)
    values = np.full((len(PRF_MAPS), len(everywhere)), np.nan, np.float32)
    values[:, : len(cortex)] = np.concatenate([halves[side].prf for side in HEMISPHERES], axis=1)
    path = results / "ses-prf_task-prf" / "ses-prf_task-prf_params.dscalar.nii"
    _write_cifti(path, values, ScalarAxis(list(PRF_MAPS)), everywhere)


def _write_atlas(path: Path, surfaces: Mapping[str, SimulatedSurface]) -> None:
    colours = np.linspace(0, 1, len(label_names()))
    table = {
        key: (name, (float(colour), 0.5, 0.5, 1.0))
        for (key, name), colour in zip(label_names().items(), colours, strict=True)
    }
    rows = LabelAxis(["HCP-MMP areas"], [table])
    _write_cifti(path, label_vertices(surfaces)[None], rows, brain_models(surfaces))


def _write_cifti(path: Path, values: Array, rows: Axis, columns: Axis) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Cifti2Image(values, header=(rows, columns))
    kind = "LABELS" if isinstance(rows, LabelAxis) else "SCALARS"
    image.nifti_header.set_intent(f"NIFTI_INTENT_CONNECTIVITY_DENSE_{kind}")
    image.to_filename(path)


def _write_events(path: Path, names: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{4.0 * trial}\t1.0\tn/a\t{name}" for trial, name in enumerate(names)]
    path.write_text(
        "\n".join(["onset\tduration\ttrial_type\tstim_file", *lines, ""]), encoding="utf-8"
    )
