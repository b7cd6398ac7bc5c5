"""Simulated NOD folders for tests: to read, and to damage."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
from nibabel.cifti2.cifti2 import Cifti2Image
from nibabel.cifti2.cifti2_axes import Axis, BrainModelAxis, LabelAxis, ScalarAxis

from orchestrator.ingest.simulate.nod_ground_truth import (
    NodSimulation,
    PlantedHalf,
    choose_stimuli,
    plant_nod,
)
from orchestrator.ingest.simulate.scenes import compose, render
from orchestrator.ingest.simulate.surface import with_subcortex

SETTINGS = NodSimulation(subjects=(1, 2), n_images=24, n_runs=2, image_size=32)
N_TRIALS = 6
"""Two sessions of two runs of six trials."""
RUNS = ((1, 1), (1, 2), (2, 1), (2, 2))


@dataclass(frozen=True)
class NodFolder:
    """Where the files of the first subject are."""

    root: Path

    @property
    def results(self) -> Path:
        return self.root / "derivatives/ciftify/sub-01/results"

    def run(self, session: int, number: int, suffix: str) -> Path:
        name = f"ses-imagenet{session:02d}_task-imagenet_run-{number}"
        return self.results / name / f"{name}_{suffix}"

    def betas(self, session: int = 1, number: int = 1) -> Path:
        return self.run(session, number, "beta.dscalar.nii")

    def labels(self, session: int = 1, number: int = 1) -> Path:
        return self.run(session, number, "label.txt")

    def events(self, session: int = 1, number: int = 1) -> Path:
        name = f"sub-01_ses-imagenet{session:02d}_task-imagenet_run-{number:02d}_events.tsv"
        return self.root / f"sub-01/ses-imagenet{session:02d}/func/{name}"

    @property
    def prf(self) -> Path:
        return self.results / "ses-prf_task-prf/ses-prf_task-prf_params.dscalar.nii"

    @property
    def atlas(self) -> Path:
        return self.root / "atlas/HCP-MMP.32k_fs_LR.dlabel.nii"

    def image(self, trial: int = 0) -> Path:
        name = self.labels().read_text().split()[trial]
        return self.root / "stimuli/imagenet" / name.split("_")[0] / name


def planted(subject: int = 1) -> dict[str, PlantedHalf]:
    """Recompute what is planted in a subject of SETTINGS."""
    stimuli = choose_stimuli(subject, SETTINGS).tolist()
    images = [render(compose(SETTINGS.seed, k), SETTINGS.image_size) for k in stimuli]
    return plant_nod(subject, images, SETTINGS)


def read(path: Path) -> tuple[np.ndarray, Axis, BrainModelAxis]:
    """Read a CIFTI file's values, rows and columns, with nibabel alone."""
    image = nibabel.load(path)
    values = np.array(
        np.asanyarray(image.dataobj), np.float32
    )  # a copy: the file may be written anew
    return values, *(image.header.get_axis(k) for k in (0, 1))


def write(path: Path, values: np.ndarray, rows: Axis, columns: Axis) -> None:
    Cifti2Image(np.asarray(values, np.float32), header=(rows, columns)).to_filename(path)


def change(path: Path, values: Callable[[np.ndarray], None]) -> None:
    """Change the values of a CIFTI file in place."""
    found, rows, columns = read(path)
    values(found)
    write(path, found, rows, columns)


def keep_columns(path: Path, kept: slice | np.ndarray) -> None:
    """Take columns out of a CIFTI file."""
    values, rows, columns = read(path)
    write(path, values[:, kept], rows, columns[kept])


def add_subcortex(path: Path) -> None:
    """Give a file of the cortex other grayordinates too."""
    values, rows, columns = read(path)
    everywhere = with_subcortex(columns)
    extra = np.ones((len(values), len(everywhere) - len(columns)))
    write(path, np.concatenate([values, extra], axis=1), rows, everywhere)


def relabel(path: Path, keys: Callable[[int], int], names: Callable[[str], str]) -> None:
    """Give the labels of an atlas other keys and names."""
    values, rows, columns = read(path)
    table = {keys(key): (names(name), colour) for key, (name, colour) in rows.label[0].items()}
    changed = np.vectorize(keys)(values.astype(int))
    write(path, changed, LabelAxis(["areas"], [table]), columns)


def scalars(n_rows: int) -> ScalarAxis:
    return ScalarAxis([f"map {k}" for k in range(n_rows)])
