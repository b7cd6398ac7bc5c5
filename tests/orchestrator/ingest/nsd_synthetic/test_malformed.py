"""Damaged or mistaken copies of NSD-synthetic are refused: a line naming the file and its cure."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from orchestrator.ingest.simulate.nsd_betas import write_betas
from tests.builders.nsd_synthetic_folder import Ingested
from tests.builders.refused_ingest import CURES, errors_of

EXPERIMENT = Path("nsddata/experiments/nsdsynthetic")
DESIGN = EXPERIMENT / "nsdsynthetic_expdesign.mat"
CLASSES = EXPERIMENT / "nsdsyntheticimageinformation.csv"
STIMULI = Path("nsddata_stimuli/stimuli/nsdsynthetic")
COMMON, OWN = (STIMULI / f"nsdsynthetic_{name}.hdf5" for name in ("stimuli", "colorstimuli_subj01"))
BETAS = Path("nsddata_betas/ppdata/subj01/fsaverage/nsdsyntheticbetas_fithrf_GLMdenoise_RR")
LEFT = BETAS / "lh.betas_nsdsynthetic.mgh"


def design(change: Callable[[np.ndarray], np.ndarray], name: str = "masterordering"):
    def damage(root: Path) -> None:
        found = scipy.io.loadmat(root / DESIGN)["masterordering"].astype(float)
        scipy.io.savemat(root / DESIGN, {name: change(found)})

    return damage


def stack(path: Path, shape: tuple[int, ...], kind: str = "u1", name: str = "imgBrick"):
    def damage(root: Path) -> None:
        with h5py.File(root / path, "w") as file:
            file.create_dataset(name, shape, kind)

    return damage


def classes(change: Callable[[list[str]], list[str]]):
    def damage(root: Path) -> None:
        lines = (root / CLASSES).read_text().splitlines()
        (root / CLASSES).write_text("\n".join(change(lines)) + "\n")

    return damage


def truncated(root: Path) -> None:
    content = (root / LEFT).read_bytes()
    (root / LEFT).write_bytes(content[:-4000])


MALFORMED = {
    "no design": (lambda root: (root / DESIGN).unlink(), "expdesign.mat: design missing; download"),
    "another file as design": (
        lambda root: (root / DESIGN).write_text("MATLAB 7.3, or not"),
        "expected NSD-synthetic's design as a MATLAB file up to version 7",
    ),
    "a design without order": (
        design(lambda found: found, "ordering"),
        "expected the variable masterordering, found none; download it again",
    ),
    "an order from 0": (
        design(lambda found: found - 1),
        "expected each image from 1 to 64 in masterordering, found 64 from 0 to 63",
    ),
    "images that are never shown": (
        design(lambda found: np.where(found == 7, 8, found)),
        "found 63 from 1 to 64; take design and stimuli from the same release",
    ),
    "fractions": (
        design(lambda found: found + 0.5),
        "expected masterordering as whole numbers, found float64",
    ),
    "no common stimuli": (
        lambda root: (root / COMMON).unlink(),
        "nsdsynthetic_stimuli.hdf5: stimuli missing; download it again",
    ),
    "no stimuli of the subject": (
        lambda root: (root / OWN).unlink(),
        "nsdsynthetic_colorstimuli_subj01.hdf5: stimuli missing; download it again",
    ),
    "stimuli of floats": (
        stack(COMMON, (48, 8, 15, 3), "f4"),
        "nsdsynthetic_stimuli.hdf5: expected imgBrick as uint8",
    ),
    "stimuli under another name": (
        stack(OWN, (16, 8, 15, 3), name="images"),
        "expected a data set imgBrick, found images; download it again",
    ),
    "no classes": (
        lambda root: (root / CLASSES).unlink(),
        "imageinformation.csv: the classes of images missing; download it again",
    ),
    "classes of fewer images": (
        classes(lambda lines: lines[:-1]),
        "expected the images from 1 to 64 in the column 'Image number', found 63 rows of 63",
    ),
    "classes of an image twice": (
        classes(lambda lines: [*lines[:-1], lines[-2]]),
        "found 64 rows of 63 images; download it again",
    ),
    "classes under another heading": (
        classes(lambda lines: [lines[0].removesuffix("Image class") + "Kind", *lines[1:]]),
        "nsdsyntheticimageinformation.csv: ",
    ),
    "no betas": (
        lambda root: (root / LEFT).unlink(),
        "lh.betas_nsdsynthetic.mgh: betas missing; download it again",
    ),
    "a truncated file of betas": (truncated, "truncated; download it again"),
    "another number of trials": (
        lambda root: write_betas(root / LEFT, np.ones((9, 10_242))),
        "lh.betas_nsdsynthetic.mgh: 9 trials, but the design has ",
    ),
    "betas of another mesh": (
        lambda root: [
            write_betas(root / BETAS / f"{side}.betas_nsdsynthetic.mgh", np.ones((142, 99)))
            for side in ("lh", "rh")
        ],
        "lh.betas_nsdsynthetic.mgh: 99 vertices or voxels along an axis, but the ingested subject",
    ),
    "betas of another version": (
        lambda root: (root / BETAS).rename(root / BETAS.with_name("nsdsyntheticbetas_fithrf")),
        "GLMdenoise_RR: no such folder, of the space and version of ",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_source_is_refused_in_a_line(case: str, copied: Ingested, capsys) -> None:
    damage, text = MALFORMED[case]
    damage(copied.source)
    arguments = ["nsd-synthetic", copied.source, "--out", copied.data, "--image-size", "16"]
    lines = errors_of(arguments, capsys, (*CURES, "take"))
    assert len(lines) == 1, lines
    assert text in lines[0]
    assert not (copied.data / "nsdsynthetic-subj01").exists()


def test_the_subjects_nsd_must_be_ingested_first(copied: Ingested, tmp_path, capsys) -> None:
    arguments = ["nsd-synthetic", copied.source, "--out", tmp_path / "new"]
    [line] = errors_of(arguments, capsys, (*CURES, "leave"))
    assert "new/nsd-subj01: no such subject, whose vertices NSD-synthetic is read at" in line
    assert not (tmp_path / "new").exists()


def test_a_subject_without_betas_is_named(copied: Ingested, capsys) -> None:
    arguments = ["nsd-synthetic", copied.source, "--out", copied.data, "--subjects", "1,4"]
    [line] = errors_of(arguments, capsys)
    assert "subject 4 has no betas, only subj01; download them, or leave it out" in line
