"""NSD-synthetic is read at the vertices of NSD, with the planted signal and its noise ceilings."""

from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.io

from orchestrator.cli.errors import InputError
from orchestrator.ingest.image_places import linear_display
from orchestrator.ingest.noise_ceilings import RepeatStatistics
from orchestrator.ingest.nsd.spaces import open_space
from orchestrator.ingest.nsd_synthetic.class_ceilings import CLASS_CEILING_SCHEMA
from orchestrator.ingest.simulate.algonauts import plant
from orchestrator.ingest.simulate.nsd_ground_truth import plan_design
from orchestrator.ingest.simulate.nsd_synthetic import draw_synthetic
from orchestrator.ingest.simulate.scenes import compose, render
from orchestrator.ingest.splits import TEST_SHARE, stimulus_fraction
from tests.builders.nsd_spaces import write_spaces
from tests.builders.nsd_synthetic_folder import SETTINGS, Ingested, inspect
from trainables.data.data_directory import class_ceilings_file, stimuli_file
from trainables.data.loading import read_subject
from trainables.data.shards import Manifest
from trainables.data.verification import read_vertex_table

EXPERIMENT = Path("nsddata/experiments/nsdsynthetic")


def betas(source: Path, side: str) -> np.ndarray:
    folder = "nsddata_betas/ppdata/subj01/fsaverage/nsdsyntheticbetas_fithrf_GLMdenoise_RR"
    raw = np.fromfile(source / folder / f"{side}.betas_nsdsynthetic.mgh", ">f4", offset=284)
    return raw.reshape(-1, 10_242).astype(np.float64)


def shown(source: Path) -> np.ndarray:
    """Return the number of each trial's image, from 1."""
    design = scipy.io.loadmat(source / EXPERIMENT / "nsdsynthetic_expdesign.mat")
    return design["masterordering"][0].astype(int)


def test_vertices_and_rois_are_those_of_nsd(ingested_once: Ingested) -> None:
    tables = [
        read_vertex_table(ingested_once.data / f"{name}-subj01").to_pandas()
        for name in ("nsd", "nsdsynthetic")
    ]
    for column in ("hemisphere", "vertex", "fsaverage"):
        assert tables[0][column].equals(tables[1][column])
    assert [set(one) for one in tables[0]["rois"]] == [set(one) for one in tables[1]["rois"]]


@pytest.mark.parametrize("side", ["lh", "rh"])
def test_responses_are_means_of_the_session_z_scored(ingested_once: Ingested, side: str) -> None:
    found = read_subject(ingested_once.data / "nsdsynthetic-subj01").responses[side]
    table = read_vertex_table(ingested_once.data / "nsdsynthetic-subj01").to_pandas()
    mesh = table.loc[table["hemisphere"] == side, "fsaverage"].to_numpy()
    session = betas(ingested_once.source, side)[:, mesh]
    standard = (session - session.mean(axis=0)) / session.std(axis=0)
    trials = shown(ingested_once.source)
    for number in (1, 9, 48, 64):  # common and own images, with two and with four trials
        expected = standard[trials == number].mean(axis=0)
        np.testing.assert_allclose(found[number - 1], expected, atol=1e-6)


def test_the_planted_signal_is_in_the_responses(ingested_once: Ingested) -> None:
    """By the forward model of NSD's own images, up to the planted noise."""
    scenes, stored = draw_synthetic(1, SETTINGS)
    first = [compose(SETTINGS.seed, k) for k in plan_design(SETTINGS).images[0].tolist()]
    images = [render(one, 32) for one in first] + [linear_display(one) for one in stored]
    planted = plant(1, [*first, *scenes], images, SETTINGS.plain(), n_reference=len(first))
    cortex, responses = planted["lh"]
    found = read_subject(ingested_once.data / "nsdsynthetic-subj01").responses["lh"]
    table = read_vertex_table(ingested_once.data / "nsdsynthetic-subj01").to_pandas()
    mesh = table.loc[table["hemisphere"] == "lh", "fsaverage"].to_numpy()
    signal = responses.signal[len(first) :][:, np.searchsorted(cortex.fsaverage, mesh)]
    has_signal = signal.std(axis=0) > 0
    pairs = zip(signal.T[has_signal], found.T[has_signal], strict=True)
    r = [np.corrcoef(a, b)[0, 1] for a, b in pairs]
    ceiling = table.loc[table["hemisphere"] == "lh", "noise_ceiling"].to_numpy()[has_signal]
    assert 0.5 < np.mean(r) < 0.9
    assert np.mean(r) == pytest.approx(np.nanmean(ceiling), rel=0.05)


def test_ceilings_are_estimated_from_the_uneven_repeats(ingested_once: Ingested) -> None:
    """By analysis of variance within images, and the mean of 1 / trials."""
    trials = shown(ingested_once.source)
    table = read_vertex_table(ingested_once.data / "nsdsynthetic-subj01").to_pandas()
    right = table[table["hemisphere"] == "rh"].iloc[5]
    session = betas(ingested_once.source, "rh")[:, [right["fsaverage"]]]
    statistics = RepeatStatistics(1)
    for number in np.unique(trials):
        statistics.add((session[trials == number] - session.mean()) / session.std())
    counts = np.bincount(trials)[1:]
    assert sorted(set(counts)) == [2, 4]
    left = np.mean(1 / counts)
    [s] = statistics.ncsnr() ** 2
    assert right["noise_ceiling"] == pytest.approx(np.sqrt(s / (s + left)), abs=1e-5)
    manifest = Manifest.read(ingested_once.data / "nsdsynthetic-subj01")
    assert f"m = {left:.6g}" in str(manifest.noise_ceiling_formula)


def test_images_are_cut_out_and_brightened(ingested_once: Ingested) -> None:
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, 2:6] = 64
    np.testing.assert_array_equal(linear_display(pixels), np.full((4, 4, 3), 128))
    path = ingested_once.source / "nsddata_stimuli/stimuli/nsdsynthetic"
    with h5py.File(path / "nsdsynthetic_colorstimuli_subj01.hdf5") as file:
        own = np.asarray(file["imgBrick"][3])
    assert own.shape == (32, 61, 3)
    image = ingested_once.subject.images[48 + 3]
    np.testing.assert_array_equal(image.read(), linear_display(own))


def test_classes_are_kept(ingested_once: Ingested) -> None:
    shard = ingested_once.data / "nsdsynthetic-subj01"
    table = pq.read_table(stimuli_file(shard)).to_pandas()
    assert list(table.columns) == ["stimulus", "subclass", "class"]
    assert table["stimulus"].tolist() == list(ingested_once.subject.stimuli)
    assert table["class"].value_counts().tolist() == [8] * 8
    assert table["class"].iloc[-1] == "channels-turned"
    files = Manifest.read(shard).files
    assert stimuli_file(shard).name in files
    ceilings = pq.read_table(class_ceilings_file(shard))
    assert ceilings.schema.equals(CLASS_CEILING_SCHEMA)
    assert class_ceilings_file(shard).name in files
    rows = ceilings.to_pylist()
    assert {(row["hemisphere"], row["class"]) for row in rows} == {
        (side, name) for side in ("lh", "rh") for name in table["class"].unique()
    }
    sizes = Manifest.read(shard).n_vertices
    assert all(len(row["noise_ceiling"]) == sizes[row["hemisphere"]] for row in rows)


def test_vertices_are_found_again_by_their_places(tmp_path: Path) -> None:
    """What an ingest stores of a voxel leads back to it, whatever the lengths of the axes."""
    spaces = write_spaces(tmp_path)
    volume = open_space(spaces.files("func1pt8mm"))
    for places in (np.arange(60), np.array([59, 5, 17])):
        stored = volume.coordinates({"lh": places.astype(np.int32)})["lh"]
        np.testing.assert_array_equal(volume.find(stored), places)
    with pytest.raises(InputError, match="3 vertices or voxels along an axis"):
        volume.find({**stored, "voxel_k": np.array([0, 1, 3])})


def test_images_of_equal_pixels_are_on_one_side(copied: Ingested) -> None:
    """The subject's own images become blank; by their names alone they would be on both sides."""
    name = "nsddata_stimuli/stimuli/nsdsynthetic/nsdsynthetic_colorstimuli_subj01.hdf5"
    with h5py.File(copied.source / name, "r+") as file:
        file["imgBrick"][:] = 0
    checked, findings = inspect(copied.source, copied.data)
    assert findings.complaints == []
    assert checked is not None
    names = checked.stimuli[48:]
    by_name = {stimulus_fraction(one) < TEST_SHARE for one in names}
    assert by_name == {True, False}
    assert len(set(checked.split.sides[48:])) == 1
