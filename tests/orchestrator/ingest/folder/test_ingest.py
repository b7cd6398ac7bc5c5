"""A folder of one's own becomes shards: what is averaged, dropped, divided and estimated."""

import json
import shutil

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import xarray
import zarr

from orchestrator.cli.errors import InputError
from orchestrator.ingest.__main__ import main
from orchestrator.ingest.folder.files import FolderChoices, find_subjects
from orchestrator.ingest.noise_ceilings import RepeatStatistics, ceiling_of
from tests.builders.checked_layout import require_checked
from tests.builders.own_folder import (
    N_IMAGES,
    N_LEFT,
    N_NEUROIDS,
    ROIS,
    expected_means,
    ingest_own,
    write_own,
)
from trainables.data.data_directory import VERTICES, DataDirectory
from trainables.data.loading import read_subject
from trainables.data.shards import TEST, list_rois


@pytest.fixture
def own(tmp_path):
    return write_own(tmp_path / "source")


def read(out, subject="mine-sub-01"):
    return read_subject(out / subject)


def vertices(out, subject="mine-sub-01"):
    return pq.read_table(out / subject / VERTICES).to_pandas()


def test_repeats_are_zscored_within_sessions_and_averaged(own, tmp_path) -> None:
    manifests, findings = ingest_own(own.root, tmp_path / "data")
    found, expected = read(tmp_path / "data"), expected_means(own)
    np.testing.assert_allclose(found.responses["lh"], expected.iloc[:, :N_LEFT], atol=1e-5)
    np.testing.assert_allclose(found.responses["rh"], expected.iloc[:, N_LEFT:], atol=1e-5)
    sides = own.table("stimuli.csv")["split"]
    assert sorted(found.test_rows) == list(np.flatnonzero(sides == "test"))
    assert manifests["sub-01"].split == "given"
    assert manifests["sub-01"].choices == {
        "units": "other",
        "space": "fsaverage",
        "zscore": "session",
    }
    assert findings.notes == []
    rows = vertices(tmp_path / "data")
    assert rows["fsaverage"].tolist() == list(range(100, 100 + N_NEUROIDS))
    members = {
        name: [
            roi.n_vertices
            for roi in list_rois(DataDirectory(tmp_path / "data"))
            if roi.name == name
        ]
        for name in ROIS
    }
    assert members == {"V1": [4], "mine": [3, 4]}


@pytest.mark.parametrize("zscore", ["all", "none"])
def test_zscoring_is_a_choice(own, tmp_path, zscore) -> None:
    ingest_own(own.root, tmp_path / "data", zscore=zscore)
    values = own.responses().astype(np.float64)
    if zscore == "all":
        values = (values - values.mean(axis=0)) / values.std(axis=0)
    shown = own.table("sub-01/presentations.csv")["stimulus_id"]
    expected = (
        pd.DataFrame(values).groupby(shown).mean().loc[[*own.table("stimuli.csv")["stimulus_id"]]]
    )
    np.testing.assert_allclose(
        read(tmp_path / "data").responses["lh"], expected.iloc[:, :N_LEFT], atol=1e-5
    )


def test_what_is_scaled_or_averaged_already_is_kept(own) -> None:
    from orchestrator.ingest.folder.description import Description

    for fields, zscore in (
        ({"zscored": "all"}, "none"),
        ({"averaged": True}, "none"),
        ({}, "session"),
    ):
        assert FolderChoices.of(Description("mine", **fields), None, None).zscore == zscore


def as_hdf5(own, values):
    with h5py.File(own.subject / "responses.h5", "w") as file:
        file["responses"] = values


def as_zarr(own, values):
    zarr.save_array(str(own.subject / "responses.zarr"), values)


def as_halves(own, values):
    np.save(own.subject / "lh.npy", values[:, :N_LEFT])
    np.save(own.subject / "rh.npy", values[:, N_LEFT:])


def as_assembly(own, values):
    """Transposed, with a time bin; its coordinates replace the tables."""
    shown, neuroids = (own.table(f"sub-01/{name}.csv") for name in ("presentations", "neuroids"))
    coordinates = {
        "image_id": ("presentation", list(shown["stimulus_id"])),
        "session": ("presentation", list(shown["session"])),
        **{name: ("neuroid", list(neuroids[name])) for name in neuroids},
        "subject": ("neuroid", ["1"] * N_NEUROIDS),
    }
    array = xarray.DataArray(
        values.T[:, :, None], coordinates, ("neuroid", "presentation", "time_bin")
    )
    array.to_dataset(name="data").to_netcdf(own.subject / "responses.nc", engine="h5netcdf")
    for name in ("presentations", "neuroids"):
        (own.subject / f"{name}.csv").unlink()


@pytest.mark.parametrize("form", [as_hdf5, as_zarr, as_halves, as_assembly])
def test_each_form_of_responses_gives_the_same_shards(own, tmp_path, form) -> None:
    expected = ingest_own(own.root, tmp_path / "data")[0]["sub-01"]
    form(own, own.responses())
    (own.subject / "responses.npy").unlink()
    found = ingest_own(own.root, tmp_path / "other")[0]["sub-01"]
    assert found.data == expected.data
    assert found.source != expected.source


def test_masks_and_a_column_of_regions_are_rois_too(own, tmp_path) -> None:
    expected = ingest_own(own.root, tmp_path / "data")[0]["sub-01"]
    (own.subject / "rois.csv").unlink()
    (own.subject / "rois").mkdir()
    for name, found in ROIS.items():
        mask = np.isin(np.arange(N_NEUROIDS), found)
        if name == "V1":
            np.save(own.subject / "rois" / "V1.npy", mask)
        else:
            np.save(own.subject / "rois" / f"lh.{name}.npy", mask[:N_LEFT].astype(int))
            np.save(own.subject / "rois" / f"rh.{name}.npy", mask[N_LEFT:])
    assert ingest_own(own.root, tmp_path / "masks")[0]["sub-01"].data == expected.data
    shutil.rmtree(own.subject / "rois")
    neuroids = own.table("sub-01/neuroids.csv").assign(region=["V1"] * 4 + ["mine"] * 6)
    own.save("sub-01/neuroids.csv", neuroids)
    assert ingest_own(own.root, tmp_path / "column")[0]["sub-01"].rois == {
        "lh": {"V1": 4, "mine": 2},
        "rh": {"mine": 4},
    }


def test_incomplete_neuroids_are_dropped_and_counted(own, tmp_path) -> None:
    values = own.responses()
    values[3, 1], values[:5, 7] = np.nan, np.inf
    values[own.table("sub-01/presentations.csv")["session"] == "1", 8] = 2.0
    np.save(own.subject / "responses.npy", values)
    manifests, findings = ingest_own(own.root, tmp_path / "data")
    assert manifests["sub-01"].n_vertices == {"lh": 5, "rh": 2}
    assert manifests["sub-01"].rois == {"lh": {"V1": 3, "mine": 3}, "rh": {"mine": 2}}
    assert vertices(tmp_path / "data")["fsaverage"].tolist() == [100, 102, 103, 104, 105, 106, 109]
    (note,) = findings.notes
    assert "3 of 10 neuroids have NaN, infinite or constant responses" in note
    assert note.endswith("n1, n7, n8")


def test_columns_that_are_not_read_are_named(own, tmp_path) -> None:
    """A misspelt session would be left out of the z-scoring without a word."""
    path = own.subject / "presentations.csv"
    path.write_text(path.read_text().replace("session", "ses", 1))
    _, findings = ingest_own(own.root, tmp_path / "data")
    (note,) = findings.notes
    assert "presentations.csv: not read: ses, only stimulus_id, repetition, session" in note


def test_data_without_hemispheres_has_one_column_of_responses(own, tmp_path) -> None:
    own.describe(space="volume")
    neuroids = own.table("sub-01/neuroids.csv").drop(columns=["hemisphere", "vertex"])
    own.save("sub-01/neuroids.csv", neuroids.assign(voxel_x=range(10), voxel_y="3", voxel_z="4.0"))
    manifest = ingest_own(own.root, tmp_path / "data")[0]["sub-01"]
    assert manifest.n_vertices == {"both": N_NEUROIDS}
    found = read(tmp_path / "data").responses
    np.testing.assert_allclose(found["both"], expected_means(own), atol=1e-5)
    assert [roi.id for roi in list_rois(DataDirectory(tmp_path / "data"))] == [
        "mine-sub-01-both-V1",
        "mine-sub-01-both-mine",
    ]
    rows = vertices(tmp_path / "data")
    assert rows["fsaverage"].isna().all()
    assert rows[["voxel_i", "voxel_j", "voxel_k"]].to_numpy().tolist() == [
        [n, 3, 4] for n in range(10)
    ]


@pytest.mark.parametrize("ceiling", [None, "split-half"])
def test_ceilings_are_estimated_from_repeats_for_the_test_images(own, tmp_path, ceiling) -> None:
    manifest = ingest_own(own.root, tmp_path / "data", ceiling=ceiling)[0]["sub-01"]
    shown = own.table("sub-01/presentations.csv")
    scaled = pd.DataFrame(own.responses().astype(np.float64)).groupby(shown["session"])
    scaled = scaled.transform(lambda one: (one - one.mean()) / one.std(ddof=0)).to_numpy()
    statistics = RepeatStatistics(N_NEUROIDS)
    for name in own.table("stimuli.csv")["stimulus_id"]:
        statistics.add(scaled[shown["stimulus_id"] == name])
    s = statistics.ncsnr() if ceiling is None else statistics.ncsnr_of_halves()
    found = vertices(tmp_path / "data")["noise_ceiling"]
    np.testing.assert_allclose(found, ceiling_of(s, 1 / 2), atol=1e-4)
    formula = json.loads((tmp_path / "data" / "mine-sub-01" / "manifest.json").read_text())
    assert "m = 0.5," in manifest.noise_ceiling_formula == formula["noise_ceiling_formula"]


@pytest.mark.parametrize(
    ("name", "unit", "value", "r"),
    [
        ("nc_testset", "percent_variance", "25", 0.5),
        ("noise_ceiling", "variance", "0.25", 0.5),
        ("noise_ceiling", "r", "0.5", 0.5),
        ("noise_ceiling", "ncsnr", "1", np.sqrt(1 / (1 + 1 / 2))),
        ("ncsnr", None, "1", np.sqrt(1 / (1 + 1 / 2))),
    ],
)
def test_given_ceilings_are_converted_to_r(own, tmp_path, name, unit, value, r) -> None:
    own.describe(noise_ceiling_unit=unit)
    neuroids = own.table("sub-01/neuroids.csv").assign(**{name: value})
    neuroids.loc[2, name] = ""
    own.save("sub-01/neuroids.csv", neuroids)
    ingest_own(own.root, tmp_path / "data")
    found = vertices(tmp_path / "data")["noise_ceiling"]
    assert np.isnan(found[2])
    np.testing.assert_allclose(found.drop(2), r, rtol=1e-6)


def test_the_ceiling_is_that_of_the_test_images_trials(own, tmp_path) -> None:
    """A third of the presentations of test images are left out: m is the mean of 1 / trials."""
    shown = own.table("sub-01/presentations.csv").drop(columns="repetition")
    sides = own.table("stimuli.csv").set_index("stimulus_id")["split"]
    is_test = shown["stimulus_id"].map(sides) == TEST
    dropped = shown[is_test].drop_duplicates("stimulus_id").index[:3]
    own.save("sub-01/presentations.csv", shown.drop(dropped))
    np.save(own.subject / "responses.npy", np.delete(own.responses(), dropped, axis=0))
    manifest = ingest_own(own.root, tmp_path / "data")[0]["sub-01"]
    assert f"m = {(3 * 1 + 3 / 2) / 6:.6g}," in manifest.noise_ceiling_formula


def test_averaged_data_need_no_presentations(own, tmp_path) -> None:
    own.describe(averaged=True, space="none")
    (own.subject / "presentations.csv").unlink()
    (own.subject / "neuroids.csv").unlink()
    values = own.responses()[:N_IMAGES]
    np.save(own.subject / "responses.npy", values)
    rois = own.table("sub-01/rois.csv")
    own.save("sub-01/rois.csv", rois.assign(neuroid_id=rois["neuroid_id"].str[1:]))
    manifest = ingest_own(own.root, tmp_path / "data")[0]["sub-01"]
    np.testing.assert_array_equal(read(tmp_path / "data").responses["both"], values)
    assert manifest.noise_ceiling_formula is None


def test_check_reports_and_writes_nothing(own, tmp_path, capsys) -> None:
    require_checked(own.root, "folder", "6 lh + 4 rh", "image-3.png", capsys)
    assert main(["check", str(tmp_path)]) == 2
    assert "--init" in capsys.readouterr().err


def test_the_template_is_a_folder_to_fill_in(tmp_path, capsys) -> None:
    mine = tmp_path / "mine"
    assert main(["folder", "--init", str(mine)]) == 0
    assert main(["check", str(mine)]) == 2
    assert "expected responses in responses.npy" in capsys.readouterr().err
    assert main(["folder", "--init", str(mine)]) == 2
    assert "new or empty" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["subject1", "subj01", "Subject_01", "sub1", "sub-CSI1"])
def test_folders_of_subjects_are_found_by_usual_names(tmp_path, name) -> None:
    own = write_own(tmp_path)
    own.subject.rename(own.root / name)
    (found,) = find_subjects(own.root, [1])
    assert (found.subject, found.shard) == (name, f"mine-{name}")


def test_folders_with_responses_of_other_names_are_named(tmp_path) -> None:
    own = write_own(tmp_path)
    own.subject.rename(own.root / "P01")
    with pytest.raises(InputError, match="sub-01 and so on, found P01 with responses; name them"):
        find_subjects(own.root, None)
