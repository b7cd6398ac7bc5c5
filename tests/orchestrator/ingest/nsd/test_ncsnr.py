"""Noise ceilings from NSD's ncsnr, for the trials that each vertex has."""

import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.noise_ceilings import ceiling_of
from orchestrator.ingest.nsd.ceilings import ceilings_of_means, noise_left_by_vertex
from orchestrator.ingest.nsd.ncsnr import read_surface_ncsnr, read_volume_ncsnr
from tests.builders.nsd_spaces import SHAPE, write_mgh, write_nifti


def test_the_ceiling_counts_the_trials_of_sessions_with_data() -> None:
    """Against the published formula, vertex by vertex, to 1e-9."""
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 2, (40, 6))
    is_valid = rng.random((6, 25)) < 0.7
    is_valid[:, :2] = [[True, False]] * 6
    ncsnr = rng.uniform(0, 1.5, 25)
    ceilings = ceiling_of(ncsnr, noise_left_by_vertex(counts, is_valid))
    assert np.isnan(ceilings[1])
    for vertex in set(range(25)) - {1}:
        trials = [int(row[is_valid[:, vertex]].sum()) for row in counts]
        images = {n: trials.count(n) for n in range(1, 7)}
        m = sum(count / n for n, count in images.items()) / sum(images.values())
        share = ncsnr[vertex] ** 2 / (ncsnr[vertex] ** 2 + m)
        assert ceilings[vertex] ** 2 == pytest.approx(share, abs=1e-9)
    stored = ceilings_of_means(ncsnr, counts, is_valid)
    assert np.array_equal(stored, ceilings.astype(np.float32), equal_nan=True)


def test_a_perfect_model_reaches_the_ceiling_of_unevenly_repeated_images() -> None:
    """Planted: noise of 1 a trial; one vertex has lost the last session."""
    rng = np.random.default_rng(2)
    counts = np.stack([np.ones(20_000, int), np.arange(20_000) % 2, np.ones(20_000, int)], axis=1)
    is_valid = np.array([[True, True], [True, True], [True, False]])
    ncsnr = np.array([0.6, 0.6])
    signal = 0.6 * rng.standard_normal((20_000, 1))
    trials = counts @ is_valid.astype(int)
    measured = signal + rng.standard_normal(trials.shape) / np.sqrt(trials)
    reached = [np.corrcoef(signal[:, 0], measured[:, vertex])[0, 1] for vertex in range(2)]
    np.testing.assert_allclose(ceilings_of_means(ncsnr, counts, is_valid), reached, rtol=0.02)


def test_values_are_those_of_vertices_and_places(tmp_path) -> None:
    write_mgh(tmp_path / "lh.ncsnr.mgh", [0.5, np.nan, 0], ">f4")
    assert np.array_equal(
        read_surface_ncsnr(tmp_path / "lh.ncsnr.mgh", 3), [0.5, np.nan, 0], equal_nan=True
    )
    volume = np.arange(60).reshape(SHAPE)
    write_nifti(tmp_path / "ncsnr.nii.gz", volume, np.float32)
    found = read_volume_ncsnr(tmp_path / "ncsnr.nii.gz", SHAPE)
    assert found[1 + 5 * (2 + 4 * 2)] == volume[1, 2, 2]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5, 0.5], "ncsnr of 2 vertices, but the betas have 3"),
        ([0.5, -0.1, 0.5], "1 negative or infinite, at vertices 1"),
        ([0.5, np.inf, 0.5], "1 negative or infinite, at vertices 1"),
    ],
)
def test_ncsnr_that_can_not_be_is_refused(tmp_path, values, text) -> None:
    write_mgh(tmp_path / "lh.ncsnr.mgh", values)
    with pytest.raises(InputError, match=text):
        read_surface_ncsnr(tmp_path / "lh.ncsnr.mgh", 3)


def test_ncsnr_of_integers_is_refused(tmp_path) -> None:
    write_nifti(tmp_path / "ncsnr.nii.gz", np.ones(SHAPE), np.int16)
    with pytest.raises(InputError, match="expected ncsnr as floats, found int16"):
        read_volume_ncsnr(tmp_path / "ncsnr.nii.gz", SHAPE)
