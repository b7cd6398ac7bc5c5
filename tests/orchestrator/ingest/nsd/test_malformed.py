"""Damaged or mistaken copies of NSD are refused: a line naming the file and its cure."""

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nsd.files import find_subjects
from orchestrator.ingest.nsd.settings import NsdChoices
from orchestrator.ingest.simulate.nsd_betas import write_betas
from orchestrator.ingest.simulate.nsd_labels import save_mgh
from tests.builders.nsd_folder import EXPERIMENT, STIMULI, betas_folder, nsdgeneral, prepare
from tests.builders.refused_ingest import CURES, errors_of

LABELS = Path("nsddata/freesurfer/subj01/label")


def session(root: Path, number: int = 2, side: str = "lh") -> Path:
    return betas_folder(root) / f"{side}.betas_session{number:02d}.mgh"


def replaced(path: Path, content: bytes) -> None:
    """Write another content: the file is a link to the original."""
    path.unlink()
    path.write_bytes(content)


def header(position: int, value: int, order: str = ">") -> Callable[[Path], None]:
    """Change one of the first numbers of a session's header."""

    def change(root: Path) -> None:
        content = bytearray(session(root).read_bytes())
        struct.pack_into(f"{order}i", content, 4 * position, value)
        replaced(session(root), bytes(content))

    return change


def little_endian(root: Path) -> None:
    content = session(root).read_bytes()
    swapped = np.frombuffer(content[:24], ">i4").astype("<i4").tobytes()
    replaced(session(root), swapped + content[24:])


def truncated(root: Path) -> None:
    replaced(session(root), session(root).read_bytes()[:-4000])


def compressed(root: Path) -> None:
    session(root).rename(session(root).with_suffix(".mgz"))


def session_of(n_trials: int, n_vertices: int) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        session(root).unlink()
        write_betas(session(root), np.random.default_rng(0).normal(size=(n_trials, n_vertices)))

    return change


def gap(root: Path) -> None:
    for side in ("lh", "rh"):
        session(root, 3, side).unlink()


def one_more_session(root: Path) -> None:
    for side in ("lh", "rh"):
        session(root, 7, side).hardlink_to(session(root, 6, side))


def other_version(root: Path) -> None:
    betas_folder(root).rename(betas_folder(root).with_name("betas_fithrf"))


def design(name: str, change: Callable[[np.ndarray], np.ndarray] | None) -> Callable[[Path], None]:
    """Change, or leave out, a variable of the design."""

    def rewrite(root: Path) -> None:
        path = root / EXPERIMENT
        content = {k: v for k, v in scipy.io.loadmat(path).items() if not k.startswith("__")}
        content[name] = content[name] if change is None else change(content[name])
        if change is None:
            del content[name]
        path.unlink()
        scipy.io.savemat(path, content)

    return rewrite


def stimuli(shape: tuple[int, ...], kind: str = "u1", name: str = "imgBrick"):
    def rewrite(root: Path) -> None:
        (root / STIMULI).unlink()
        with h5py.File(root / STIMULI, "w") as file:
            file.create_dataset(name, shape, kind, chunks=(1, *shape[1:]))

    return rewrite


def labels(root: Path) -> None:
    path = root / "nsddata/freesurfer/fsaverage/label/rh.nsdgeneral.mgz"
    path.unlink()
    save_mgh(path, np.zeros(10_242, np.int32))


MALFORMED = {
    "a little-endian session": (little_endian, "lh.betas_session02.mgh: little-endian, expected"),
    "a session that is cut": (truncated, "trials of 10,242 vertices: truncated; download it again"),
    "a session that is packed": (compressed, "lh.betas_session02.mgz: compressed, so that"),
    "another file as session": (
        lambda root: replaced(session(root), b"not this" * 9),
        "lh.betas_session02.mgh: expected betas as an MGH file, found another file; download",
    ),
    "a session of a few bytes": (
        lambda root: replaced(session(root), b"1234"),
        "lh.betas_session02.mgh: too short for an MGH file",
    ),
    "an empty session": (
        lambda root: replaced(session(root), b""),
        "lh.betas_session02.mgh: betas missing: an empty file; download it again",
    ),
    "integers": (header(5, 1), "expected float32 (type 3) of (vertices, 1, 1, trials), found type"),
    "a volume": (header(2, 5), "found type 3 of (10242, 5, 1, 30)"),
    "fewer trials": (session_of(29, 10_242), "29 trials, but the design has 30 in this session"),
    "a session with trials first": (
        session_of(10_242, 30),
        "expected betas of (vertices, 1, 1, trials), with 30 trials, found (30, 1, 1, 10242): the "
        "axes are in another order, trials first; save them transposed",
    ),
    "a session on another mesh": (
        session_of(30, 2562),
        "lh.betas_session02.mgh: 2,562 vertices, but ",
    ),
    "a missing hemisphere": (
        lambda root: session(root, 6, "rh").unlink(),
        "rh.betas_session06.mgh: betas missing; download it again",
    ),
    "a gap": (gap, "session 3 missing, found 1-2,4-6; download the missing ones, or name those"),
    "more sessions than planned": (
        one_more_session,
        "nsd_expdesign.mat: expected a session 7, of which there are betas, found 6 sessions",
    ),
    "another version of the betas": (
        other_version,
        "of subj01 there are fsaverage b2: choose by --space and --betas",
    ),
    "no design": (
        lambda root: (root / EXPERIMENT).unlink(),
        "nsd_expdesign.mat: design missing; download it again",
    ),
    "another file as design": (
        lambda root: replaced(root / EXPERIMENT, b"MATLAB 7.3, or not"),
        "expected NSD's design as a MATLAB file up to version 7, found a damaged or other file",
    ),
    "a design without shared images": (
        design("sharedix", None),
        "expected the variables masterordering, subjectim, sharedix, stimpattern, found no shared",
    ),
    "an ordering from 0": (
        design("masterordering", lambda found: found - 1),
        "expected masterordering that counts from 1, as NSD's, found a 0: it counts from 0",
    ),
    "images from 0": (
        design("subjectim", lambda found: found - found.min()),
        "expected subjectim that counts from 1",
    ),
    "an ordering beyond the images": (
        design("masterordering", lambda found: found + 1),
        "expected masterordering from 1 to 60, found 2 to 61",
    ),
    "images of other subjects": (
        design("subjectim", lambda found: found[:3]),
        "expected subjectim of (8, images), found (3, 60)",
    ),
    "shared images elsewhere": (
        design("subjectim", lambda found: found[:, ::-1]),
        "expected the 12 images of sharedix in the first columns of subjectim",
    ),
    "an image twice": (
        design("subjectim", lambda found: np.where(found == found[:, [-1]], found[:, [-2]], found)),
        "expected each image once in row 1 of subjectim, found some twice",
    ),
    "other sessions": (
        design("stimpattern", lambda found: found[:5]),
        "expected a trial in each of 5 sessions, 180 in all as in masterordering, found 150",
    ),
    "a fraction": (
        design("sharedix", lambda found: found + 0.5),
        "expected whole numbers in sharedix, found float64 of (1, 12)",
    ),
    "no stimuli": (
        lambda root: (root / STIMULI).unlink(),
        "nsd_stimuli.hdf5: stimuli missing; download it again",
    ),
    "stimuli of floats": (stimuli((9, 8, 8, 3), "f4"), "nsd_stimuli.hdf5: expected imgBrick as"),
    "stimuli under another name": (
        stimuli((9, 8, 8, 3), name="images"),
        "nsd_stimuli.hdf5: expected a data set imgBrick, found images; download it again",
    ),
    "too few stimuli": (stimuli((9, 8, 8, 3)), "nsd_stimuli.hdf5: 9 images, but "),
    "nsdgeneral without vertices": (labels, "--vertices nsdgeneral selects no vertex of rh"),
    "ncsnr of another mesh": (
        lambda root: (
            (betas_folder(root) / "lh.ncsnr.mgh").unlink(),
            save_mgh(betas_folder(root) / "lh.ncsnr.mgh", np.ones(99, np.float32)),
        ),
        "lh.ncsnr.mgh: ncsnr of 99 vertices, but the betas have 10,242",
    ),
    "no transform": (
        lambda root: (root / "nsddata/ppdata/subj01/transforms/lh.white-to-fsaverage.mgz").unlink(),
        "lh.white-to-fsaverage.mgz: native vertices missing; download it again",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_source_is_refused_in_a_line(case, folder, tmp_path, capsys) -> None:
    damage, text = MALFORMED[case]
    damage(folder)
    arguments = ["nsd", folder, "--out", tmp_path / "out", "--subjects", "1"]
    lines = errors_of(arguments, capsys, (*CURES, "take", "unpack"))
    message = [line for line in lines if text in line]
    assert len(message) == 1, lines
    assert str(folder) in message[0]
    assert len(lines) == 1, lines
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("value", "where", "text"),
    [
        (np.nan, slice(0, 3), "1 vertices are infinite, or NaN in some trials but not in all"),
        (np.inf, slice(None), "expected NaN in a whole session or not at all: download it again"),
    ],
)
def test_betas_that_cant_be_are_refused_when_they_are_read(folder, tmp_path, value, where, text):
    betas = np.fromfile(session(folder), ">f4", offset=284).reshape(-1, 10_242)
    vertex = nsdgeneral(folder, "lh")[5]
    betas[where, vertex] = value
    session(folder).unlink()
    write_betas(session(folder), betas)
    with pytest.raises(InputError) as error:
        prepare(folder, tmp_path / "scratch")
    (line,) = error.value.lines
    assert text in line
    assert f"{session(folder)}: 1 vertices" in line
    assert f"not in all: {vertex}; " in line


def test_a_vertex_without_any_session_is_no_reason_to_refuse_others(folder, tmp_path) -> None:
    """But a hemisphere without any vertex is."""
    for number in range(1, 7):
        betas = np.fromfile(session(folder, number), ">f4", offset=284).reshape(-1, 10_242)
        session(folder, number).unlink()
        write_betas(session(folder, number), np.zeros_like(betas))
    with pytest.raises(InputError, match="no vertex of lh has responses to all images; download"):
        prepare(folder, tmp_path / "scratch")


def test_problems_of_all_subjects_are_listed_at_once(folder, tmp_path, capsys) -> None:
    truncated(folder)
    (betas_folder(folder, 3) / "rh.betas_session06.mgh").unlink()
    lines = errors_of(["nsd", folder, "--out", tmp_path / "out"], capsys)
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("wanted", "choices", "text"),
    [
        ([2], {}, "subject 2 has no betas, only subj01, subj03; download them, or leave it out"),
        ([1], {"space": "func1mm"}, "of subj01 there are fsaverage b3: choose by --space"),
        ([1], {"betas": "b1"}, "betas_assumehrf: no such folder; of subj01 there are fsaverage b3"),
        ([1], {"sessions": (1, 9)}, "session 9 missing, found 1-6; download the missing ones"),
    ],
)
def test_choices_that_are_not_there_are_refused(released, wanted, choices, text) -> None:
    with pytest.raises(InputError) as error:
        find_subjects(released, wanted, NsdChoices(**choices))
    assert text in str(error.value)


def test_the_folder_above_is_recognised(released) -> None:
    with pytest.raises(InputError, match=f"found no subject there; give {released}"):
        find_subjects(released.parent, None, NsdChoices())


@pytest.mark.parametrize("command", ["algonauts", "nod"])
def test_another_command_names_this_one(command, released, tmp_path, capsys) -> None:
    (line,) = errors_of([command, released, "--out", tmp_path / "out"], capsys)
    assert f"expected the layout of `ingest {command}`, found that of `ingest nsd`; use" in line
