"""Small files of NSD's native surface and volumes, to be changed in one place each."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import h5py
import nibabel
import numpy as np
from nibabel.freesurfer.mghformat import MGHImage

from orchestrator.ingest.nsd.files import NsdFiles
from orchestrator.ingest.nsd.settings import NsdChoices

N_TRIALS = 6
N_NATIVE = {"lh": 9, "rh": 10}
SHAPE = (5, 4, 3)
"""X, Y, Z."""
VISUAL = "0 Unknown  \r\n1\tV1v   \n 2  V1d\t\n3 V2v 1 2 3 0\n"
KASTNER = "0 Unknown\n1 V1v\n25 FEF \n"


@dataclass(frozen=True)
class NsdSpaces:
    """One subject's labels on the native surface, on fsaverage and in a volume."""

    root: Path

    def files(self, space: str, sessions=(1, 2)) -> NsdFiles:
        return NsdFiles(self.root, 1, sessions, NsdChoices(space=space))

    def betas(self, space: str) -> Path:
        return self.files(space).betas

    @property
    def label(self) -> Path:
        return self.root / "nsddata/freesurfer/subj01/label"

    @property
    def average(self) -> Path:
        return self.root / "nsddata/freesurfer/fsaverage/label"

    @property
    def roi(self) -> Path:
        return self.root / "nsddata/ppdata/subj01/func1pt8mm/roi"

    @property
    def transforms(self) -> Path:
        return self.root / "nsddata/ppdata/subj01/transforms"

    @property
    def brain_mask(self) -> Path:
        return self.root / "nsddata/ppdata/subj01/func1pt8mm/brainmask.nii.gz"


def write_spaces(root: Path) -> NsdSpaces:
    """Write two families on the native surface, one of them on fsaverage too, and volumes."""
    spaces = NsdSpaces(root)
    for folder in (spaces.label, spaces.average, spaces.roi, spaces.transforms):
        folder.mkdir(parents=True)
    (spaces.label / "prf-visualrois.mgz.ctab").write_bytes(VISUAL.encode())
    for folder in (spaces.label, spaces.average):
        (folder / "Kastner2015.mgz.ctab").write_text(KASTNER)
    for side, n in N_NATIVE.items():
        write_mgh(spaces.label / f"{side}.prf-visualrois.mgz", [1, 2, 0, 1] + [0] * (n - 4))
        write_mgh(spaces.label / f"{side}.Kastner2015.mgz", [0] * (n - 2) + [25, 1])
        write_mgh(spaces.average / f"{side}.Kastner2015.mgz", [25, 0, 0, 0, 1, 1])
        write_mgh(spaces.transforms / f"{side}.white-to-fsaverage.mgz", [4, 3, 2, 1, 1, n])
    write_volumes(spaces)
    return spaces


def write_volumes(spaces: NsdSpaces) -> None:
    """Write labels of a volume: the left hemisphere is x below 2, the right one x of 3 and 4."""
    labels = np.full(SHAPE, -1)
    labels[:, 1:, 1:] = 0
    labels[1, 2, 1], labels[4, 3, 2], labels[3, 1, 1] = 1, 1, 2
    x = np.arange(SHAPE[0])[:, None, None]
    for side, is_side in (("lh.", x < 2), ("rh.", x > 2), ("", x != 2)):
        write_nifti(
            spaces.roi / f"{side}prf-visualrois.nii.gz", np.where(is_side, labels, -1), np.int16
        )
    write_nifti(spaces.brain_mask, labels >= 0, np.uint8)


def write_mgh(path: Path, values, kind=np.float32) -> None:
    array = np.asarray(values, kind).reshape(-1, 1, 1)
    MGHImage(array, np.eye(4)).to_filename(path)


def write_nifti(path: Path, values: np.ndarray, kind=np.int16) -> None:
    nibabel.Nifti1Image(values.astype(kind), np.eye(4)).to_filename(path)


def volume_betas(seed: int = 0) -> np.ndarray:
    """Draw stored betas (trials, Z, Y, X) that are 0 outside of the brain mask."""
    betas = np.random.default_rng(seed).integers(-900, 900, (N_TRIALS, *SHAPE[::-1]))
    betas[:, 0], betas[:, :, 0] = 0, 0
    betas[0, 1:, 1:] += 1000  # no column of the brain is 0 by chance
    return betas.astype(np.int16)


def write_hdf5(path: Path, betas: np.ndarray, name: str = "betas", kind=np.int16) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        chunks = (len(betas), *(1,) * (betas.ndim - 1))
        file.create_dataset(name, data=betas.astype(kind), chunks=chunks)
    return path


def write_compressed(path: Path, betas: np.ndarray, kind=np.int16) -> Path:
    """Write betas (trials, Z, Y, X) as a NIfTI file, (X, Y, Z, trials)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_nifti(path, betas.T, kind)
    return path


def cut_content(path: Path) -> None:
    """Cut a compressed file's content, so that the archive itself is whole."""
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-9]))
