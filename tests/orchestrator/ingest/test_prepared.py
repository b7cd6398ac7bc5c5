"""Subjects whose responses are read in a pass of its own, and what they record beyond others."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Preparation
from orchestrator.ingest.run import check_disk_space, prepared
from orchestrator.ingest.trial_means import Block, TrialMeans, TrialRows
from orchestrator.ingest.writer import write_subject
from tests.builders.algonauts_folder import N_VERTICES, responses_of, write_folder
from tests.builders.algonauts_ingest import SETTINGS, batches, inspect
from trainables.data.data_directory import VERTICES, DataDirectory
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest


@pytest.fixture
def subject(tmp_path):
    return inspect(write_folder(tmp_path / "source", (1,)).root)


def test_the_writer_reads_the_means_that_a_pass_over_the_trials_made(subject, tmp_path):
    data = DataDirectory(tmp_path / "data")
    trials = TrialRows((np.arange(12, dtype=np.int32),) * 2, 12)
    seen = []

    def run(scratch, advance):
        seen.extend([scratch, scratch.parent == data.path])
        means = TrialMeans(scratch, N_VERTICES, trials, zscores=False)
        for session in (0, 1):
            for name, n in N_VERTICES.items():
                values = responses_of(1, name) * (session * 2)
                means.add(session, Block(name, slice(0, n), values))
                advance(values.nbytes)
        return replace(subject, responses=means.rows, preparation=None)

    waiting = replace(subject, preparation=Preparation(10, 20, run))
    with prepared(waiting, data) as ready:
        write_subject(ready, batches(ready), data, SETTINGS)
    assert seen[1]
    assert [path.name for path in data.path.iterdir()] == ["nsd-subj01"]
    (table,) = read_rows(data.shard("nsd-subj01"), ["lh", "rh"])
    for name in N_VERTICES:
        np.testing.assert_array_equal(fixed_width(table[name], np.float32), responses_of(1, name))


def test_a_pass_that_fails_leaves_nothing(subject, tmp_path):
    def run(scratch, advance):
        (scratch / "some").write_bytes(b"half")
        raise InputError("betas: truncated; download again")

    data = DataDirectory(tmp_path / "data")
    with (
        pytest.raises(InputError, match="truncated"),
        prepared(replace(subject, preparation=Preparation(10, 20, run)), data),
    ):
        pytest.fail("not ready")
    assert list(data.path.iterdir()) == []


def test_scratch_files_count_as_needed_space(subject, tmp_path):
    data, run = DataDirectory(tmp_path), lambda scratch, advance: subject
    check_disk_space([replace(subject, preparation=Preparation(0, 10**6, run))], data, SETTINGS)
    huge = replace(subject, preparation=Preparation(0, 10**18, run))
    with pytest.raises(InputError, match="the shards need 1,000,000,000,000 MB"):
        check_disk_space([huge], data, SETTINGS)


def test_coordinates_are_columns_in_a_fixed_order_and_null_where_masked(subject, tmp_path):
    halves = {
        name: replace(
            half,
            coordinates={
                "voxel_i": np.arange(half.n_vertices),
                "prf_r2": np.where(np.arange(half.n_vertices) == 2, np.nan, 0.5),
                "fslr": np.ma.masked_less(np.arange(half.n_vertices), 1 if name == "lh" else 0),
            },
        )
        for name, half in subject.hemispheres.items()
    }
    placed = replace(subject, hemispheres=halves)
    plain = write_subject(subject, batches(subject), DataDirectory(tmp_path / "a"), SETTINGS)
    found = write_subject(placed, batches(placed), DataDirectory(tmp_path / "b"), SETTINGS)
    assert found.data == plain.data
    table = pq.read_table(tmp_path / "b/nsd-subj01" / VERTICES)
    assert table.column_names[-4:] == ["rois", "fslr", "prf_r2", "voxel_i"]
    assert [table.schema.field(name).nullable for name in table.column_names[-3:]] == [
        True,
        True,
        False,
    ]
    left = table.slice(0, N_VERTICES["lh"])
    assert left["fslr"].to_pylist() == [None, *range(1, N_VERTICES["lh"])]
    assert left["prf_r2"].to_pylist()[1:4] == [0.5, None, 0.5]


def test_the_formula_of_noise_ceilings_is_in_the_manifest_where_there_is_one(subject, tmp_path):
    computed = replace(subject, noise_ceiling_formula="sqrt(s2 / (s2 + 1/3))")
    write_subject(computed, batches(computed), DataDirectory(tmp_path / "a"), SETTINGS)
    found = Manifest.read(tmp_path / "a/nsd-subj01")
    assert found.noise_ceiling_formula == "sqrt(s2 / (s2 + 1/3))"
    plain = write_subject(subject, batches(subject), DataDirectory(tmp_path / "b"), SETTINGS)
    assert "noise_ceiling_formula" not in (tmp_path / "b/nsd-subj01/manifest.json").read_text()
    assert plain.data == found.data
