"""An ingested subject as a NeuroidAssembly: what xarray reads, and the way back."""

import numpy as np
import pytest
import xarray

from orchestrator.ingest.__main__ import main
from tests.builders.own_folder import N_NEUROIDS, ingest_own, write_own
from trainables.data.loading import read_subject
from trainables.data.rows import read_rows


@pytest.fixture(params=["divided", "undivided"])
def ingested(request, tmp_path):
    """A folder, and the data made from it."""
    own = write_own(tmp_path / "source")
    if request.param == "undivided":
        own.describe(space="volume")
        table = own.table("sub-01/neuroids.csv").drop(columns=["hemisphere", "vertex"])
        own.save("sub-01/neuroids.csv", table.assign(voxel_x="1", voxel_y="2", voxel_z=range(10)))
    manifests, _ = ingest_own(own.root, tmp_path / "data")
    return own, tmp_path / "data", manifests["sub-01"]


def test_the_assembly_holds_the_shards_and_is_read_back(ingested, tmp_path) -> None:
    own, data, manifest = ingested
    out = own.subject / "responses.nc"
    command = ["assembly", "mine-sub-01", "--data", str(data), "--out", str(out)]
    assert main(command) == 0
    with xarray.open_dataarray(out) as array:
        found = array.load()
    shard = data / "mine-sub-01"
    responses = read_subject(shard).responses
    expected = np.concatenate([responses[side] for side in manifest.n_vertices], axis=1)
    assert found.dims == ("presentation", "neuroid")
    np.testing.assert_array_equal(found, expected)
    (rows,) = read_rows(shard, ["stimulus", "split"])
    assert found.stimulus_id.values.tolist() == rows["stimulus"].to_pylist()
    assert found.split.values.tolist() == rows["split"].to_pylist()
    assert set(found.subject.values) == {"sub-01"}
    assert found.region.values.tolist()[2:5] == ["V1", "V1;mine", "mine"]
    assert found.sizes["neuroid"] == N_NEUROIDS
    for name in ("responses.npy", "presentations.csv", "neuroids.csv", "rois.csv"):
        (own.subject / name).unlink()
    own.describe(averaged=True, noise_ceiling_unit="percent_variance")
    again, _ = ingest_own(own.root, tmp_path / "again")
    assert again["sub-01"].data == manifest.data


@pytest.mark.parametrize(
    ("subject", "out", "text"),
    [
        ("mine-sub-02", "x.nc", "no subject 'mine-sub-02', only mine-sub-01"),
        ("mine-sub-01", "x.npy", ".nc"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path, capsys, subject, out, text) -> None:
    ingest_own(write_own(tmp_path / "source").root, tmp_path / "data")
    command = ["assembly", subject, "--data", str(tmp_path / "data"), "--out", str(tmp_path / out)]
    assert main(command) == 2
    assert text in capsys.readouterr().err
    assert not (tmp_path / out).exists()
