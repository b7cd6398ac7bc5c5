"""Malformed NOD sources are refused in lines that say what was found, where, and the cure."""

import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from tests.builders.nod_folder import (
    RUNS,
    NodFolder,
    change,
    keep_columns,
    read,
    relabel,
    scalars,
    write,
)
from tests.builders.nod_ingest import inspect
from tests.builders.refused_nod import errors_of

Damage = Callable[[NodFolder], object]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 4])


def set_to(value: float, row: int, column: int) -> Callable[[np.ndarray], None]:
    def fill(values: np.ndarray) -> None:
        values[row, column] = value

    return fill


def no_right_hemisphere(path: Path) -> None:
    keep_columns(path, np.flatnonzero(read(path)[2].name == "CIFTI_STRUCTURE_CORTEX_LEFT"))


def other_vertices(path: Path) -> None:
    values, rows, columns = read(path)
    columns.vertex[0] = next(v for v in range(32_492) if v not in columns.vertex)
    write(path, values, rows, columns)


def drop_trial(path: Path) -> None:
    values, _, columns = read(path)
    write(path, values[:-1], scalars(len(values) - 1), columns)


def make_nifti(path: Path) -> None:
    nibabel.Nifti2Image(np.zeros((2, 3, 4), np.float32), np.eye(4)).to_filename(path)


def swap_first_lines(path: Path) -> None:
    first, second, *others = path.read_text().splitlines(keepends=True)
    path.write_text("".join([second, first, *others]))


def show_again(folder: NodFolder) -> None:
    """Show the first image of the first run in place of the last of the last one too."""
    first = folder.labels().read_text().split()[0]
    for run in RUNS:
        folder.events(*run).unlink()
    names = folder.labels(2, 2).read_text().split()
    folder.labels(2, 2).write_text("\n".join([*names[:-1], first]))


def without_r2(side: str, roi: str) -> Damage:
    """Leave an area of the atlas without R²."""

    def damage(folder: NodFolder) -> None:
        keys, table, _ = read(folder.atlas)
        (key,) = [k for k, (name, _) in table.label[0].items() if name == f"{side}_{roi}_ROI"]
        places = np.flatnonzero(keys[0] == key)
        change(folder.prf, lambda values: values.__setitem__((3, places), np.nan))

    return damage


def swap_sides(name: str) -> str:
    return {"L": "R", "R": "L"}.get(name[0], name[0]) + name[1:]


def kept_column(folder: NodFolder, side: str) -> int:
    return int(inspect(folder.root).responses.columns[side][0])


def constant(folder: NodFolder) -> None:
    """Stop the first vertex in one run, and have it kept as the best of V1."""
    change(folder.betas(1, 2), lambda values: values.__setitem__((slice(None), 0), 0.5))
    change(folder.atlas, set_to(1, 0, 0))
    change(folder.prf, set_to(99, 3, 0))


MALFORMED: dict[str, tuple[Damage, str]] = {
    "neither labels nor events": (
        lambda f: (f.labels(1, 2).unlink(), f.events(1, 2).unlink()),
        "run-2_label.txt: the images of session 1 run 2 are named neither there nor in",
    ),
    "labels that disagree with events": (
        lambda f: swap_first_lines(f.labels()),
        "run-1_label.txt: trial 1 shows n9",
    ),
    "fewer labels than events": (
        lambda f: f.labels().write_text("n01440764_1.JPEG\n"),
        "run-1_label.txt: 1 image names, but 6 events in",
    ),
    "labels that are no image names": (
        lambda f: f.labels().write_text("image one\n"),
        "run-1_label.txt: expected image names such as n01440764_172.JPEG, found 'image'",
    ),
    "empty labels": (
        lambda f: f.labels().write_text(""),
        "run-1_label.txt: image names missing: an empty file; download it again",
    ),
    "labels of blank lines": (
        lambda f: f.labels().write_text(" \n"),
        "expected image names such as n01440764_172.JPEG, found none",
    ),
    "binary labels": (
        lambda f: f.labels().write_bytes(b"\x00\x80\xff\xfe"),
        "run-1_label.txt: expected image names as text",
    ),
    "events without files": (
        lambda f: f.events().write_text("onset\tduration\n0.0\t1.0\n"),
        "events.tsv: expected events with the columns onset and stim_file",
    ),
    "fewer betas than images": (
        lambda f: drop_trial(f.betas(2, 1)),
        "run-1_beta.dscalar.nii: betas of 5 trials, but the run's label file or events name 6",
    ),
    "a missing run": (
        lambda f: shutil.rmtree(f.betas(1, 2).parent),
        "run-2_beta.dscalar.nii: betas missing; download it",
    ),
    "a gap between runs": (
        lambda f: (shutil.rmtree(f.betas(1, 1).parent), f.events(1, 1).unlink()),
        "run-1_label.txt: the images of session 1 run 1 are named neither there nor in",
    ),
    "a link to nothing": (
        lambda f: (f.betas().unlink(), f.betas().symlink_to("annex/objects/x")),
        "betas missing: the link leads nowhere; download its content (datalad get)",
    ),
    "a missing image": (lambda f: f.image().unlink(), "JPEG: not a readable image"),
    "a cut image": (lambda f: cut(f.image(3)), "JPEG: not a readable image"),
    "NaN": (
        lambda f: change(f.betas(2, 2), set_to(np.nan, 1, kept_column(f, "lh"))),
        "run-2_beta.dscalar.nii: 1 betas are NaN or infinite, in 1 of 971 vertices: lh ",
    ),
    "infinite betas of the right": (
        lambda f: change(f.betas(2, 2), set_to(np.inf, 1, kept_column(f, "rh"))),
        "in 1 of 971 vertices: rh ",
    ),
    "fewer grayordinates in a run": (
        lambda f: keep_columns(f.betas(1, 2), slice(1, None)),
        "cortical grayordinates (478 lh + ",
    ),
    "other vertices in a run": (
        lambda f: other_vertices(f.betas(1, 2)),
        "expected the same vertices in the same order in every run",
    ),
    "fewer grayordinates in the pRF file": (
        lambda f: keep_columns(f.prf, slice(1, None)),
        "params.dscalar.nii: 970 cortical grayordinates",
    ),
    "no right hemisphere": (
        lambda f: no_right_hemisphere(f.betas(2, 1)),
        "run-1_beta.dscalar.nii: no grayordinates of CIFTI_STRUCTURE_CORTEX_RIGHT",
    ),
    "no right hemisphere in the pRF file": (
        lambda f: no_right_hemisphere(f.prf),
        "params.dscalar.nii: no grayordinates of CIFTI_STRUCTURE_CORTEX_RIGHT",
    ),
    "betas that are text": (
        lambda f: f.betas().write_text("betas"),
        "run-1_beta.dscalar.nii: expected betas as a CIFTI-2 file, found a damaged or other file",
    ),
    "cut betas": (lambda f: cut(f.betas(2, 2)), "its values can't be read"),
    "betas in another kind of file": (
        lambda f: make_nifti(f.betas()),
        "expected betas as a CIFTI-2 file, found a damaged or other file (a Nifti2Image)",
    ),
    "labels as betas": (
        lambda f: shutil.copy(f.atlas, f.betas()),
        "expected betas as ScalarAxis by BrainModelAxis, found LabelAxis",
    ),
    "no pRF file": (lambda f: f.prf.unlink(), "params.dscalar.nii: pRF parameters missing"),
    "a pRF file of three maps": (
        lambda f: write(f.prf, read(f.prf)[0][:3], scalars(3), read(f.prf)[2]),
        "params.dscalar.nii: 3 maps; expected more than 3",
    ),
    "an ROI without R²": (without_r2("L", "V3"), "no vertex of lh V3 among its grayordinates (90"),
    "an ROI that is not in the atlas": (
        lambda f: relabel(f.atlas, lambda k: k, lambda n: "R_MT_ROI" if n == "R_V2_ROI" else n),
        "no vertex of rh V2 among its grayordinates (0 there, none in the atlas)",
    ),
    "an atlas with sides exchanged": (
        lambda f: relabel(f.atlas, lambda k: k, swap_sides),
        "have a label that names the other hemisphere",
    ),
    "an atlas of fractions": (
        lambda f: change(f.atlas, set_to(0.5, 0, 0)),
        "dlabel.nii: expected whole numbers as labels",
    ),
    "an atlas that is cut": (lambda f: cut(f.atlas), "dlabel.nii: "),
    "an atlas of scalars": (
        lambda f: shutil.copy(f.prf, f.atlas),
        "expected atlas as LabelAxis by BrainModelAxis, found ScalarAxis",
    ),
    "an image shown twice": (show_again, "is shown 2 times, in session 1 run 1, session 2 run 2"),
    "a constant vertex": (constant, "1 kept vertices have the same beta in every trial of the run"),
    "no runs": (
        lambda f: (shutil.rmtree(f.root / "sub-01"), shutil.rmtree(f.results), f.results.mkdir()),
        "results: expected ses-imagenet01_task-imagenet_run-1 and so on, found no run",
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_source_is_refused_in_a_line(case, folder, capsys) -> None:
    damage, text = MALFORMED[case]
    damage(folder)
    lines = errors_of(folder.root, capsys, "--subjects", "1")
    message = [line for line in lines if text in line]
    assert len(message) == 1, lines
    assert str(folder.root) in message[0]
    # A run that is missing may lack its betas and its labels.
    assert len(lines) <= 2, lines


def test_everything_is_reported_at_once_for_all_subjects(folder, capsys) -> None:
    change(folder.betas(1, 1), set_to(np.nan, 0, kept_column(folder, "lh")))
    folder.image(0).unlink()
    folder.events(2, 1).write_text("")
    other = folder.root / "derivatives/ciftify/sub-02/results/ses-prf_task-prf"
    shutil.rmtree(other)
    lines = errors_of(folder.root, capsys)
    assert len(lines) == 4
    for text in ("not a readable image", "NaN or infinite", "events.tsv", "sub-02/results"):
        assert sum(text in line for line in lines) == 1
