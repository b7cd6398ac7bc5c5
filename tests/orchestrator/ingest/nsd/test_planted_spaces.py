"""A planted subject, simulated in every space of NSD, is the same subject after the ingest."""

import os
import shutil
from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytest

from orchestrator.ingest.checked import Findings
from orchestrator.ingest.nsd.files import find_subjects
from orchestrator.ingest.nsd.inspection import inspect_nsd_subject
from orchestrator.ingest.nsd.settings import NsdChoices
from orchestrator.ingest.simulate.nsd import simulate_nsd
from orchestrator.ingest.simulate.nsd_ground_truth import (
    NsdSimulation,
    plan_design,
    plant_nsd,
    session_betas,
)
from orchestrator.ingest.simulate.nsd_integers import write_hdf5, write_volume
from orchestrator.ingest.simulate.nsd_labels import native_vertices, save_mgh
from orchestrator.ingest.simulate.nsd_spaces import voxels_of
from tests.builders.refused_ingest import errors_of
from trainables.spec.rois import ROI_FAMILIES

SPACES = ("fsaverage", "nativesurface", "func1pt8mm", "func1mm")
SETTINGS = NsdSimulation(
    subjects=(1,), n_images=48, n_shared=16, n_sessions=3, image_size=32, spaces=SPACES
)
SIDES = ("lh", "rh")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nsd") / "source"
    simulate_nsd(folder, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def planted():
    return plant_nsd(1, plan_design(SETTINGS), SETTINGS)


@pytest.fixture(scope="module")
def means(planted):
    """The mean responses by image and vertex, computed directly from the planted betas."""
    design = plan_design(SETTINGS)
    sums = {side: np.zeros((48, half.cortex.n_vertices)) for side, half in planted.items()}
    counts = {side: np.zeros(found.shape) for side, found in sums.items()}
    for session, trials in enumerate(design.sessions, start=1):
        for side, betas in session_betas(1, session, design, planted, SETTINGS).items():
            zscored = (betas - betas.mean(axis=0)) / betas.std(axis=0)
            for place, row in zip(design.ordering[trials], zscored, strict=True):
                sums[side][place] += np.nan_to_num(row)
                counts[side][place] += np.isfinite(row)
    with np.errstate(invalid="ignore"):
        return {side: sums[side] / counts[side] for side in SIDES}


@pytest.fixture(scope="module", params=SPACES)
def ingested(request, source, tmp_path_factory):
    """A space's name, and its subject after all but the writing of shards."""
    choices = NsdChoices(space=request.param, families=("all",))
    (files,) = find_subjects(source, None, choices)
    findings = Findings()
    subject = inspect_nsd_subject(files, "shared1000", findings, lambda _: None)
    assert findings.complaints == []
    read = subject.preparation.run(tmp_path_factory.mktemp("scratch"), lambda _: None)
    return request.param, read


def vertices_of(ingested, side, cortex):
    """Return the planted vertex of each column, by its coordinates alone."""
    space, subject = ingested
    half = subject.hemispheres[side]
    if space == "fsaverage":
        return np.searchsorted(cortex.fsaverage, half.fsaverage)
    if space == "nativesurface":
        own = native_vertices(SETTINGS.seed, 1, side)[cortex.fsaverage].tolist()
        return np.array([own.index(vertex) for vertex in half.coordinates["native_vertex"]])
    voxels = voxels_of(space, 1, side, cortex.n_vertices, SETTINGS.seed).T.tolist()
    place = {tuple(voxel): vertex for vertex, voxel in enumerate(voxels)}
    columns = np.stack([half.coordinates[f"voxel_{axis}"] for axis in "ijk"], axis=1)
    return np.array([place[tuple(voxel)] for voxel in columns.tolist()])


def images_of(subject):
    """Return the place in the design of each row's image."""
    ids = plan_design(SETTINGS).images[0].tolist()
    return [ids.index(int(stimulus.removeprefix("nsd-"))) for stimulus in subject.stimuli]


def test_responses_are_the_planted_means_in_every_space(ingested, planted, means) -> None:
    space, subject = ingested
    rows, responses = images_of(subject), subject.responses()
    for side in SIDES:
        vertices = vertices_of(ingested, side, planted[side].cortex)
        # All but those that have no trial of some image left.
        complete = np.flatnonzero(np.isfinite(means[side]).all(axis=0))
        assert sorted(vertices.tolist()) == complete.tolist()
        # int16 rounds betas to a 300th of a per cent.
        found, rounding = responses[side][0 : len(rows)], 1e-4 if space == "fsaverage" else 0.02
        np.testing.assert_allclose(found, means[side][rows][:, vertices], atol=rounding)


def correlate(one, other):
    one, other = one - one.mean(axis=0), other - other.mean(axis=0)
    with np.errstate(invalid="ignore"):
        return (one * other).sum(axis=0) / np.sqrt((one**2).sum(axis=0) * (other**2).sum(axis=0))


def test_planted_signal_is_scored_at_the_ceilings(ingested, planted) -> None:
    _, subject = ingested
    rows, responses = images_of(subject), subject.responses()
    tested = np.array(subject.split.sides) == "test"
    scores, ceilings = [], []
    for side in SIDES:
        vertices = vertices_of(ingested, side, planted[side].cortex)
        signal = planted[side].signal[rows][:, vertices]
        measured = responses[side][0 : len(rows)]
        found = correlate(measured[tested], signal[tested])
        responds = planted[side].ncsnr[vertices] > 0
        scores += found[responds].tolist()
        ceilings += subject.hemispheres[side].noise_ceiling[responds].tolist()
        ncsnr = planted[side].ncsnr[vertices].astype(np.float64)
        whole = subject.hemispheres[side].noise_ceiling
        is_whole = ~np.isin(vertices, planted[side].invalid)
        expected = np.sqrt(ncsnr**2 / (ncsnr**2 + 1 / 3))
        np.testing.assert_allclose(whole[is_whole], expected[is_whole], rtol=1e-6)
        lost = ~is_whole & responds
        assert (whole[lost] < expected[lost]).all()
    assert np.mean(scores) == pytest.approx(np.mean(ceilings), rel=0.05)
    assert "ncsnr" in subject.noise_ceiling_formula


def test_rois_are_the_planted_ones_in_every_space(ingested, planted) -> None:
    _, subject = ingested
    for side in SIDES:
        cortex, half = planted[side].cortex, subject.hemispheres[side]
        vertices = vertices_of(ingested, side, cortex)
        for names in ROI_FAMILIES.values():
            for name in names:
                found = sorted(vertices[half.regions.get(name, [])].tolist())
                assert found == [v for v in cortex.members(name) if v in set(vertices)], name
        same = half.regions["Kastner2015-V1v"]
        assert np.array_equal(same, half.regions["V1v"])


@pytest.fixture
def folder(source, tmp_path):
    """Links to a simulated release."""
    return Path(shutil.copytree(source, tmp_path / "source", copy_function=os.link))


LABELS = "nsddata/freesurfer/subj01/label"
PPDATA = "nsddata/ppdata/subj01"
BETAS = "nsddata_betas/ppdata/subj01"
B3 = "betas_fithrf_GLMdenoise_RR"


def replace(path, content) -> None:
    path.unlink()
    path.write_bytes(content)


def stored_hdf5(change):
    """Write an HDF5 file's betas in another way."""

    def damage(path) -> None:
        with h5py.File(path) as file:
            betas = file["betas"][:]
        path.unlink()
        write_hdf5(path, change(betas))

    return damage


def nifti(change):
    def damage(path) -> None:
        values = np.asarray(nibabel.load(path).dataobj)
        path.unlink()
        write_volume(path, change(values))

    return damage


def surface(change):
    def damage(path) -> None:
        values = np.asarray(nibabel.load(path).dataobj).reshape(-1)
        path.unlink()
        save_mgh(path, change(values))

    return damage


REFUSED = {
    "native betas by trial": (
        f"{BETAS}/nativesurface/{B3}/lh.betas_session02.hdf5",
        stored_hdf5(np.transpose),
        "the axes are in another order",
    ),
    "native betas of floats": (
        f"{BETAS}/nativesurface/{B3}/rh.betas_session01.hdf5",
        stored_hdf5(lambda betas: betas / np.float32(300)),
        "expected betas of int16, 300 for one per cent, found float32",
    ),
    "labels of another subject": (
        f"{LABELS}/lh.streams.mgz",
        surface(lambda labels: labels[:-1]),
        "ROI labels of 10,299 vertices, but the betas have 10,300",
    ),
    "ncsnr of another subject": (
        f"{BETAS}/nativesurface/{B3}/lh.ncsnr.mgh",
        surface(lambda ncsnr: ncsnr[:-1]),
        "ncsnr of 10,299 vertices, but the betas have 10,300",
    ),
    "a volume with X and Z exchanged": (
        f"{BETAS}/func1pt8mm/{B3}/betas_session03.hdf5",
        stored_hdf5(lambda betas: betas.swapaxes(1, 3)),
        "= (48, 13, 21, 17), found (48, 17, 21, 13): the axes are in another order",
    ),
    "a volume with X reversed and moved": (
        f"{BETAS}/func1pt8mm/{B3}/betas_session03.hdf5",
        stored_hdf5(lambda betas: np.roll(betas[..., ::-1], 2, axis=2)),
        "outside of the brain mask",
    ),
    "ROIs with X and Z exchanged": (
        f"{PPDATA}/func1pt8mm/roi/lh.floc-faces.nii.gz",
        nifti(np.transpose),
        "ROI labels of (X, Y, Z) = (13, 21, 17), but the betas have (17, 21, 13)",
    ),
    "no brain mask": (f"{PPDATA}/func1pt8mm/brainmask.nii.gz", Path.unlink, "brain mask missing"),
    "negative ncsnr": (
        f"{BETAS}/func1pt8mm/{B3}/ncsnr.nii.gz",
        nifti(lambda ncsnr: ncsnr - 1),
        "negative or infinite, at vertices",
    ),
    "a compressed session that is cut": (
        f"{BETAS}/func1mm/{B3}/betas_session02.nii.gz",
        lambda path: replace(path, path.read_bytes()[:-5000]),
        "not as long as its header says",
    ),
    "a compressed session of fewer trials": (
        f"{BETAS}/func1mm/{B3}/betas_session02.nii.gz",
        nifti(lambda betas: betas[..., :-1]),
        "(X, Y, Z, trials) = (19, 23, 14, 48), found (19, 23, 14, 47)",
    ),
    "a label without a name": (
        f"{PPDATA}/func1mm/roi/rh.prf-visualrois.nii.gz",
        nifti(lambda labels: np.where(labels > 0, np.int16(77), labels)),
        "labels without a name in prf-visualrois.mgz.ctab: 77",
    ),
    "a colour table of text": (
        f"{LABELS}/floc-bodies.mgz.ctab",
        lambda path: replace(path, b"# names\n"),
        "line 1 is '# names'; expected a number and a name",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_malformed_release_is_refused_in_a_line(case, folder, tmp_path, capsys) -> None:
    name, damage, text = REFUSED[case]
    space = next((space for space in SPACES if f"/{space}/" in name), "nativesurface")
    damage(folder / name)
    out = tmp_path / "out"
    lines = errors_of(["nsd", folder, "--out", out, "--space", space], capsys)
    assert [line for line in lines if text in line] == lines, lines
    assert len(lines) == 1
    assert str(folder) in lines[0]
    assert not out.exists()
