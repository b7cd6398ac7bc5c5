"""Write a tiny, valid Algonauts folder in either layout, for tests to read or to damage."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

N_IMAGES = 12
N_VERTICES = {"lh": 10, "rh": 8}
MESH = 40
NAMES = {
    "prf-visualrois": {0: "Unknown", 1: "V1v ", 2: "V1d", 3: "V2v", 4: "V2d"},
    "floc-bodies": {0: "Unknown", 1: "EBA", 2: "FBA-1\n"},
    "streams": {0: "Unknown", 1: "early", 5: "ventral"},
}
LABELS = {
    ("lh", "prf-visualrois"): [0, 1, 1, 1, 2, 2, 0, 0, 3, 0],
    ("rh", "prf-visualrois"): [1, 1, 0, 0, 0, 4, 4, 4],
    ("lh", "floc-bodies"): [1, 1, 1, 0, 0, 0, 0, 2, 2, 0],
    ("rh", "floc-bodies"): [0, 0, 0, 1, 0, 0, 0, 0],
    ("lh", "streams"): [1, 1, 1, 1, 1, 1, 0, 0, 5, 5],
    ("rh", "streams"): [0] * 8,
}
"""lh: vertices 1 and 2 are in V1v, EBA and early at once; VWFA and others exist nowhere."""


@dataclass(frozen=True)
class Folder:
    """Where the files of one subject of a written folder are."""

    root: Path
    images: Path
    fmri: Path
    masks: Path
    prefix: str

    def responses(self, hemisphere: str) -> Path:
        return self.fmri / f"{self.prefix}{hemisphere}_training_fmri.npy"

    def mask(self, hemisphere: str, family: str = "prf-visualrois") -> Path:
        return self.masks / f"{hemisphere}.{family}_challenge_space.npy"

    def mapping(self, family: str = "prf-visualrois") -> Path:
        return self.masks / f"mapping_{family}.npy"

    def mesh(self, hemisphere: str) -> Path:
        return self.masks / f"{hemisphere}.all-vertices_fsaverage_space.npy"

    def image(self, row: int) -> Path:
        return sorted(self.images.glob("train-*"))[row]


def write_folder(
    root: Path,
    subjects: tuple[int, ...] = (1,),
    *,
    layout: str = "subject-first",
    n_images: int = N_IMAGES,
    image_size: int = 20,
) -> Folder:
    """Write the subjects' files; return where those of the first one are."""
    for subject in reversed(subjects):
        folder = place(root, subject, layout)
        _write_subject(folder, subject, n_images, image_size)
    return folder


def place(root: Path, subject: int, layout: str = "subject-first") -> Folder:
    if layout == "split-first":
        name = f"Subj{subject}"
        parts = [root / part / name for part in ("training_images", "training_fmri", "roi_masks")]
        return Folder(root, *parts, prefix=f"subj{subject}_")
    home = root / f"subj{subject:02d}"
    training = home / "training_split"
    return Folder(
        root, training / "training_images", training / "training_fmri", home / "roi_masks", ""
    )


def stimulus_of(subject: int, row: int) -> int:
    """Even rows are shared by all subjects, odd ones are the subject's own."""
    return 100 * row + (subject if row % 2 else 0)


def responses_of(subject: int, hemisphere: str, n_images: int = N_IMAGES) -> np.ndarray:
    rng = np.random.default_rng([subject, hemisphere == "rh"])
    return rng.standard_normal((n_images, N_VERTICES[hemisphere])).astype(np.float32)


def image_of(subject: int, row: int, image_size: int = 20) -> Image.Image:
    rng = np.random.default_rng(stimulus_of(subject, row))
    return Image.fromarray(rng.integers(0, 256, (image_size, image_size, 3), np.uint8))


def _write_subject(folder: Folder, subject: int, n_images: int, image_size: int) -> None:
    for path in (folder.images, folder.fmri, folder.masks):
        path.mkdir(parents=True)
    for row in range(n_images):
        name = f"train-{row + 1:04d}_nsd-{stimulus_of(subject, row):05d}.png"
        image_of(subject, row, image_size).save(folder.images / name)
    for hemisphere, n_vertices in N_VERTICES.items():
        np.save(folder.responses(hemisphere), responses_of(subject, hemisphere, n_images))
        present = np.zeros(MESH, np.int64)
        present[3 : 3 + n_vertices] = 1
        np.save(folder.mesh(hemisphere), present)
    for (hemisphere, family), labels in LABELS.items():
        np.save(folder.mask(hemisphere, family), np.array(labels))
    for family, names in NAMES.items():
        np.save(folder.mapping(family), np.array(names, dtype=object))


def write_noise_ceilings(folder: Path, subject: int = 1) -> Path:
    for hemisphere, n_vertices in N_VERTICES.items():
        path = folder / f"subj{subject:02d}" / f"{hemisphere}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.linspace(0.2, 0.9, n_vertices))
    return folder
