"""Simulated NSD folders as released, and what a reader of its own finds in them."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pyarrow as pa
import scipy.io

from orchestrator.ingest.checked import Findings, Subject
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.nsd.files import find_subjects
from orchestrator.ingest.nsd.inspection import inspect_nsd_subject
from orchestrator.ingest.nsd.settings import NsdChoices
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulate.nsd_ground_truth import NsdSimulation
from orchestrator.ingest.writer import write_subject
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest

SETTINGS = NsdSimulation(subjects=(1, 3), n_images=60, n_shared=12, image_size=32, seed=1)
SIZE = 16
EXPERIMENT = Path("nsddata/experiments/nsd/nsd_expdesign.mat")
STIMULI = Path("nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5")


def betas_folder(root: Path, subject: int = 1) -> Path:
    version = "betas_fithrf_GLMdenoise_RR"
    return root / f"nsddata_betas/ppdata/subj{subject:02d}/fsaverage/{version}"


def check(root: Path, subject: int = 1, split: str = "shared1000", **choices) -> Findings:
    """Inspect a subject, and return what was found."""
    findings = Findings()
    (files,) = find_subjects(root, [subject], NsdChoices(**choices))
    inspect_nsd_subject(files, split, findings, lambda count: None)
    return findings


def inspect(root: Path, subject: int = 1, split: str = "shared1000", **choices) -> Subject:
    findings = Findings()
    (files,) = find_subjects(root, [subject], NsdChoices(**choices))
    looked: list[int] = []
    checked = inspect_nsd_subject(files, split, findings, looked.append)
    assert findings.complaints == []
    assert checked is not None
    assert sum(looked) == len(checked.images)
    return checked


def prepare(root: Path, scratch: Path, subject: int = 1, **options) -> Subject:
    """Inspect a subject, and average its trials in a new directory."""
    checked = inspect(root, subject, **options)
    scratch.mkdir()
    seen: list[int] = []
    assert checked.preparation is not None
    ready = checked.preparation.run(scratch, seen.append)
    assert sum(seen) == checked.preparation.n_bytes
    written = sum(path.stat().st_size for path in scratch.rglob("*.float32"))
    assert written == checked.preparation.n_scratch_bytes
    return ready


def batches(subject: Subject) -> Iterator[tuple[int, pa.Array]]:
    """Decode without Ray."""
    raw = [decode_image(image, SIZE).tobytes() for image in subject.images]
    yield 0, pa.array(raw, pa.binary(3 * SIZE * SIZE))


def write(subject: Subject, out: Path, split: str) -> Manifest:
    return write_subject(subject, batches(subject), DataDirectory(out), Settings(split, SIZE))


def shown(root: Path, subject: int = 1) -> list[list[int]]:
    """List the nsdIds, from 0, of each session's trials, by the design's file alone."""
    design = scipy.io.loadmat(root / EXPERIMENT)
    of_trials = [
        int(design["subjectim"][subject - 1, place - 1]) - 1
        for place in design["masterordering"][0].astype(int)
    ]
    lengths = design["stimpattern"].sum(axis=(1, 2)).astype(int)
    ends = np.cumsum(lengths)
    return [of_trials[end - n : end] for n, end in zip(lengths, ends, strict=True)]


def shared(root: Path) -> set[int]:
    return {int(k) - 1 for k in scipy.io.loadmat(root / EXPERIMENT)["sharedix"][0]}


def zscored_sessions(root: Path, side: str, subject: int = 1) -> list[np.ndarray]:
    """Read whole sessions by nibabel, and z-score them: (n_trials, n_mesh) float64."""
    found = []
    for path in sorted(betas_folder(root, subject).glob(f"{side}.betas_session*.mgh")):
        betas = np.asarray(nibabel.load(path).dataobj, np.float64)[:, 0, 0].T
        found.append((betas - betas.mean(axis=0)) / betas.std(axis=0))
    return found


def mean_by_hand(
    sessions: list[np.ndarray], trials: list[list[int]], image: int, only: set[int]
) -> np.ndarray:
    """Average an image's trials in some sessions, by index from 0; NaN sessions are left out."""
    rows = [
        sessions[session][trial]
        for session in sorted(only)
        for trial, shows in enumerate(trials[session])
        if shows == image
    ]
    values = np.stack(rows)
    counts = (~np.isnan(values)).sum(axis=0)
    return np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)


def stimulus_pixels(root: Path, image: int) -> np.ndarray:
    with h5py.File(root / STIMULI) as file:
        return np.asarray(file["imgBrick"][image])


def mesh_labels(root: Path, side: str, family: str, subject: int = 1) -> np.ndarray:
    """Carry a family's labels from the subject's surface to fsaverage: (n_mesh,)."""
    native = root / f"nsddata/freesurfer/subj{subject:02d}/label/{side}.{family}.mgz"
    way = root / f"nsddata/ppdata/subj{subject:02d}/transforms/{side}.white-to-fsaverage.mgz"
    labels = np.asarray(nibabel.load(native).dataobj).reshape(-1).astype(int)
    return labels[np.asarray(nibabel.load(way).dataobj).reshape(-1).astype(int) - 1]


def nsdgeneral(root: Path, side: str) -> np.ndarray:
    path = root / f"nsddata/freesurfer/fsaverage/label/{side}.nsdgeneral.mgz"
    return np.flatnonzero(np.asarray(nibabel.load(path).dataobj).reshape(-1))
