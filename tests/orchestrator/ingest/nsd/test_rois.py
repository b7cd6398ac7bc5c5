"""ROIs of NSD's families: on the native surface, carried to fsaverage, and in volumes."""

import shutil

import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Findings
from orchestrator.ingest.nsd.families import find_families
from orchestrator.ingest.nsd.rois import read_surface_rois, read_volume_rois
from orchestrator.ingest.nsd.volumes import voxel_indices
from tests.builders.nsd_spaces import (
    KASTNER,
    N_NATIVE,
    SHAPE,
    VISUAL,
    write_mgh,
    write_nifti,
    write_spaces,
)


@pytest.fixture
def spaces(tmp_path):
    return write_spaces(tmp_path / "source")


def read(spaces, space, wanted=None, size=None):
    findings = Findings()
    families = find_families(spaces.root, "subj01", space, wanted)
    reader = read_volume_rois if space.startswith("func") else read_surface_rois
    rois = reader(families, size, findings)
    findings.raise_if_any()
    return rois


def named(regions):
    return {name: vertices.tolist() for name, vertices in regions.items()}


def test_native_labels_have_the_names_of_the_colour_table(spaces) -> None:
    rois = read(spaces, "nativesurface", ["Kastner2015", "prf-visualrois"], N_NATIVE)
    # Algonauts' ROIs first, and another family's V1v under its name.
    assert list(rois.regions["rh"]) == ["V1v", "V1d", "Kastner2015-V1v", "Kastner2015-FEF"]
    assert named(rois.regions["rh"]) == {
        "V1v": [0, 3],
        "V1d": [1],
        "Kastner2015-V1v": [9],
        "Kastner2015-FEF": [8],
    }
    assert rois.n_vertices == N_NATIVE


def test_families_that_fsaverage_lacks_are_carried_there_from_1_based_vertices(spaces) -> None:
    rois = read(spaces, "fsaverage", ["all"])
    # Native vertices of fsaverage's: 3 2 1 0 0 8, whose prf labels are 1 0 2 1 1 0.
    assert named(rois.regions["lh"]) == {
        "V1v": [0, 3, 4],
        "V1d": [2],
        "Kastner2015-V1v": [4, 5],  # as fsaverage's own file has it
        "Kastner2015-FEF": [0],
    }
    assert rois.n_vertices == {"lh": 6, "rh": 6}


def test_voxels_are_counted_with_x_fastest_and_divided_by_hemisphere(spaces) -> None:
    rois = read(spaces, "func1pt8mm", None, SHAPE)
    x, y, z = SHAPE
    left, right = 1 + x * (2 + y * 1), 4 + x * (3 + y * 2)
    assert named(rois.regions["lh"]) == {"V1v": [left]}
    assert named(rois.regions["rh"]) == {"V1v": [right], "V1d": [3 + x * (1 + y * 1)]}
    assert rois.n_vertices == {"lh": x * y * z, "rh": x * y * z}
    assert rois.cortex["lh"].sum() == 2 * 3 * 2
    places = voxel_indices(rois.regions["rh"]["V1v"], SHAPE)
    assert {name: value.tolist() for name, value in places.items()} == {
        "voxel_i": [4],
        "voxel_j": [3],
        "voxel_k": [2],
    }


def test_a_file_of_both_hemispheres_is_divided_by_the_cortex_of_another_family(spaces) -> None:
    (spaces.root / "nsddata/templates").mkdir()
    (spaces.root / "nsddata/templates/streams.ctab").write_text("1 early\n")
    labels = np.zeros(SHAPE)
    labels[1, 2, 1] = labels[4, 2, 1] = 1
    write_nifti(spaces.roi / "streams.nii.gz", labels)
    rois = read(spaces, "func1pt8mm", ["streams", "prf-visualrois"], SHAPE)
    left = 1 + SHAPE[0] * (2 + SHAPE[1])
    assert [rois.regions[side]["early"].tolist() for side in ("lh", "rh")] == [[left], [left + 3]]
    with pytest.raises(InputError, match=r"has both hemispheres, and no lh\.NAME"):
        read(spaces, "func1pt8mm", ["streams"], SHAPE)


def test_only_the_families_of_algonauts_are_read_by_default(spaces) -> None:
    assert set(read(spaces, "nativesurface").regions["lh"]) == {"V1v", "V1d"}


def change(values):
    return lambda path: write_mgh(path, values)


MALFORMED = {
    "no colour table": (
        "nativesurface",
        "label/prf-visualrois.mgz.ctab",
        None,
        "label names missing",
    ),
    "a line without a name": (
        "nativesurface",
        "label/prf-visualrois.mgz.ctab",
        lambda p: p.write_text(VISUAL + "4\n"),
        "line 5 is '4'; expected a number and a name",
    ),
    "a name that is a path": (
        "nativesurface",
        "label/prf-visualrois.mgz.ctab",
        lambda p: p.write_text("1 ../V1\n"),
        "line 1 is '1 ../V1'",
    ),
    "a label named twice": (
        "nativesurface",
        "label/prf-visualrois.mgz.ctab",
        lambda p: p.write_text("1 V1v\n1 V1d\n"),
        "label 1 comes 2 times",
    ),
    "a name of two labels": (
        "nativesurface",
        "label/prf-visualrois.mgz.ctab",
        lambda p: p.write_text("1 V1v\n2 V1v\n"),
        "name V1v comes 2 times",
    ),
    "a table of the background alone": (
        "nativesurface",
        "label/prf-visualrois.mgz.ctab",
        lambda p: p.write_text("0 Unknown\n"),
        "expected names of labels from 1 on, found none",
    ),
    "a label without a name": (
        "nativesurface",
        "label/lh.prf-visualrois.mgz",
        change([7] * 9),
        "labels without a name in prf-visualrois.mgz.ctab: 7",
    ),
    "a hemisphere without labels": (
        "nativesurface",
        "label/rh.prf-visualrois.mgz",
        None,
        "ROI labels missing; download it again",
    ),
    "labels of another subject": (
        "nativesurface",
        "label/lh.prf-visualrois.mgz",
        change([1] * 8),
        "ROI labels of 8 vertices, but the betas have 9",
    ),
    "labels that are fractions": (
        "nativesurface",
        "label/lh.prf-visualrois.mgz",
        change([0.5] * 9),
        "expected ROI labels from 0 on, found 0.5",
    ),
    "a volume's mark on a surface": (
        "nativesurface",
        "label/lh.prf-visualrois.mgz",
        change([-1] * 9),
        "found -1.0",
    ),
    "labels that are text": (
        "nativesurface",
        "label/lh.prf-visualrois.mgz",
        lambda p: p.write_text("labels"),
        "expected ROI labels as an MGH file",
    ),
    "a transform counted from 0": (
        "fsaverage",
        "transforms/lh.white-to-fsaverage.mgz",
        change([3, 2, 1, 0, 0, 8]),
        "expected native vertices, counted from 1, found 0.0",
    ),
    "a transform of another subject": (
        "fsaverage",
        "transforms/lh.white-to-fsaverage.mgz",
        change([3, 2, 1, 1, 1, 99]),
        "names native vertex 99, but the labels have 9",
    ),
    "no transform": (
        "fsaverage",
        "transforms/lh.white-to-fsaverage.mgz",
        None,
        "native vertices missing",
    ),
    "volumes in another order of axes": (
        "func1pt8mm",
        "roi/lh.prf-visualrois.nii.gz",
        lambda p: write_nifti(p, np.zeros(SHAPE[::-1])),
        "but the betas have (5, 4, 3): in another order of axes",
    ),
    "volumes of another space": (
        "func1pt8mm",
        "roi/lh.prf-visualrois.nii.gz",
        lambda p: write_nifti(p, np.zeros((5, 4, 4))),
        "another space's",
    ),
    "volumes of four axes": (
        "func1pt8mm",
        "roi/lh.prf-visualrois.nii.gz",
        lambda p: write_nifti(p, np.zeros((*SHAPE, 2))),
        "expected ROI labels of (X, Y, Z), found (5, 4, 3, 2)",
    ),
    "volumes that are cut": (
        "func1pt8mm",
        "roi/lh.prf-visualrois.nii.gz",
        lambda p: p.write_bytes(p.read_bytes()[:-20]),
        "found a damaged or other file",
    ),
    "a label of a volume without a name": (
        "func1pt8mm",
        "roi/rh.prf-visualrois.nii.gz",
        lambda p: write_nifti(p, np.full(SHAPE, 9)),
        "labels without a name in prf-visualrois.mgz.ctab: 9",
    ),
}
SIZES = {"nativesurface": N_NATIVE, "fsaverage": {"lh": 6, "rh": 6}, "func1pt8mm": SHAPE}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_family_is_refused_in_a_line(case, spaces) -> None:
    space, name, damage, text = MALFORMED[case]
    folder = getattr(spaces, name.partition("/")[0])
    path = folder / name.partition("/")[2]
    path.unlink() if damage is None else damage(path)
    with pytest.raises(InputError) as refused:
        read(spaces, space, None, SIZES[space])
    assert len(refused.value.lines) == 1
    (line,) = refused.value.lines
    assert text in line, line
    assert str(spaces.root) in line
    assert ";" in line


def test_a_family_that_is_not_there_is_named(spaces) -> None:
    with pytest.raises(InputError, match=r"family streams is not there, only Kastner2015, prf-"):
        find_families(spaces.root, "subj01", "nativesurface", ["streams"])
    shutil.rmtree(spaces.label)
    with pytest.raises(InputError, match=r"expected ROI families such as prf-visualrois"):
        find_families(spaces.root, "subj01", "nativesurface", None)


def test_an_roi_of_two_families_is_refused(spaces) -> None:
    (spaces.label / "streams.mgz.ctab").write_text(KASTNER)
    for side, n in N_NATIVE.items():
        write_mgh(spaces.label / f"{side}.streams.mgz", [1] * n)
    with pytest.raises(InputError, match="V1v is also an ROI of another family"):
        read(spaces, "nativesurface", ["prf-visualrois", "streams"])
