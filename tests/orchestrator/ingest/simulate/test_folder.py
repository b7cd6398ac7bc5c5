"""The simulated folder: what was planted is found again in the shards."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.noise_ceilings import ceiling_of
from orchestrator.ingest.simulate.folder import N_NAN
from tests.builders.own_folder import ingest_own
from trainables.data.data_directory import VERTICES
from trainables.data.loading import read_subject
from trainables.data.shards import Manifest

N_IMAGES = 120
OPTIONS = ("--n-images", str(N_IMAGES), "--image-size", "32", "--presentations", "3")


@pytest.fixture(scope="module", params=["fsaverage", "volume"])
def simulated(request, tmp_path_factory):
    """A simulated subject, in vertices of fsaverage or in voxels: (source, shard, truth)."""
    home = tmp_path_factory.mktemp(request.param)
    undivided = ("--undivided",) if request.param == "volume" else ()
    command = ("simulate", "--layout", "folder", "--subjects", "1", *OPTIONS, *undivided)
    assert main([*command, "--out", str(home / "source")]) == 0
    ingest_own(home / "source", home / "data", image_size=16)
    truth = np.load(home / "source" / "sub-01" / "ground_truth.npz")
    return home / "source", home / "data" / "simulated-sub-01", truth


def kept(truth):
    return np.delete(np.arange(len(truth["ncsnr"])), truth["lost"])


def test_neuroids_with_nan_are_left_out(simulated) -> None:
    source, shard, truth = simulated
    columns = pd.read_csv(source / "sub-01" / "neuroids.csv")
    manifest = Manifest.read(shard)
    assert sum(manifest.n_vertices.values()) == len(columns) - N_NAN
    sides = {"lh", "rh"} if "hemisphere" in columns else {"both"}
    assert set(manifest.n_vertices) == sides
    rows = pq.read_table(shard / VERTICES).to_pandas()
    name, given = ("fsaverage", "vertex") if "vertex" in columns else ("voxel_i", "voxel_x")
    assert rows[name].tolist() == columns[given].iloc[kept(truth)].tolist()


def test_planted_noise_ceilings_are_found(simulated) -> None:
    _, shard, truth = simulated
    found = pq.read_table(shard / VERTICES).to_pandas()["noise_ceiling"]
    trials = np.where(np.arange(0, N_IMAGES, 5) % 2, 2, 3)  # of the test images
    expected = ceiling_of(truth["ncsnr"][kept(truth)], float(np.mean(1 / trials)))
    assert found.mean() == pytest.approx(expected.mean(), rel=0.03)
    assert np.corrcoef(found, expected)[0, 1] > 0.5


def test_the_true_signal_reaches_the_noise_ceiling(simulated) -> None:
    """The responses of an image are those to it: shifted by one row, nothing is predicted."""
    _, shard, truth = simulated
    subject = read_subject(shard)
    measured = np.concatenate([subject.responses[side] for side in subject.responses], axis=1)
    signal = truth["signal"][:, kept(truth)]
    rows = np.arange(N_IMAGES)
    trials = np.where(rows % 2, 2, 3)
    expected = ceiling_of(truth["ncsnr"][kept(truth)], float(np.mean(1 / trials)))
    assert mean_r(measured[rows], signal[rows]) == pytest.approx(expected.mean(), rel=0.03)
    assert abs(mean_r(measured[rows], signal[rows - 1])) < 0.1


def mean_r(a, b):
    a, b = ((one - one.mean(axis=0)) / one.std(axis=0) for one in (a, b))
    return float((a * b).mean())


def test_a_folder_needs_its_own_options(tmp_path, capsys) -> None:
    command = ["simulate", "--layout", "folder", "--out", str(tmp_path / "source")]
    assert main([*command, "--permute-responses"]) == 2
    assert "remove --shared and --permute-responses" in capsys.readouterr().err
