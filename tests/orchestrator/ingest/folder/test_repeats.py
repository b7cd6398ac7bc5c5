"""``--repeats`` of a folder of one's own: means, first presentations, or single ones too."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.noise_ceilings import ceiling_of
from tests.builders.own_folder import (
    N_LEFT,
    errors_of,
    expected_means,
    expected_trials,
    ingest_own,
    write_own,
)
from trainables.data.loading import read_subject
from trainables.data.shards import Manifest
from trainables.data.trials import read_trials


@pytest.fixture
def own(tmp_path):
    own = write_own(tmp_path / "source", repeats=3)
    shown = own.table("sub-01/presentations.csv")
    kept = shown.drop(
        shown.index[(shown["stimulus_id"] == "image-1") & (shown["repetition"] == "2")]
    )
    np.save(own.subject / "responses.npy", own.responses()[kept.index])
    own.save("sub-01/presentations.csv", kept)
    return own


def test_single_presentations_of_training_images_are_kept(own, tmp_path) -> None:
    out = tmp_path / "data"
    manifest = ingest_own(own.root, out, repeats="rows")[0]["sub-01"]
    mean = ingest_own(own.root, tmp_path / "mean")[0]["sub-01"]
    assert manifest.choices["repeats"] == "rows"
    assert mean.n_trials is None
    assert "repeats" not in mean.choices
    assert manifest.data != mean.data
    subject, names = read_subject(out / "mine-sub-01"), own.table("stimuli.csv")["stimulus_id"]
    np.testing.assert_allclose(
        subject.responses["lh"], expected_means(own).iloc[:, :N_LEFT], atol=1e-5
    )
    shown, expected = own.table("sub-01/presentations.csv")["stimulus_id"], expected_trials(own)
    trials = read_trials(out / "mine-sub-01", "rh", np.array([1, 3]))
    for row, name in enumerate(names):
        found = trials.responses[trials.images == row]
        own_trials = expected[(shown == name).to_numpy()].iloc[:, [N_LEFT + 1, N_LEFT + 3]]
        assert subject.n_trials[row] == len(own_trials) == (2 if name == "image-1" else 3)
        if row in subject.test_rows:
            assert not len(found)
        else:
            np.testing.assert_allclose(found, own_trials, atol=1e-5)
    assert manifest.n_trials == len(trials.images) == 3 * manifest.n_train - 1


def test_ceilings_of_single_presentations_are_those_of_the_means_that_r_is_measured_on(
    own, tmp_path
) -> None:
    vertices = []
    for repeats in ("mean", "rows"):
        ingest_own(own.root, tmp_path / repeats, repeats=repeats)
        vertices.append((tmp_path / repeats / "mine-sub-01" / "vertices.parquet").read_bytes())
    assert vertices[0] == vertices[1]


def test_the_first_presentation_has_the_ceiling_of_one_trial(own, tmp_path) -> None:
    ceilings = {}
    for repeats in ("mean", "first"):
        ingest_own(own.root, tmp_path / repeats, repeats=repeats)
        table = pq.read_table(tmp_path / repeats / "mine-sub-01" / "vertices.parquet")
        ceilings[repeats] = table["noise_ceiling"].to_numpy().astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        signal = np.sqrt(ceilings["mean"] ** 2 / 3 / (1 - ceilings["mean"] ** 2))
    np.testing.assert_allclose(ceilings["first"], ceiling_of(signal, 1.0), rtol=1e-5)
    found = read_subject(tmp_path / "first" / "mine-sub-01")
    shown = own.table("sub-01/presentations.csv")["stimulus_id"]
    first = [
        int(np.flatnonzero(shown == name)[0]) for name in own.table("stimuli.csv")["stimulus_id"]
    ]
    expected = expected_trials(own).iloc[first, :N_LEFT]
    np.testing.assert_allclose(found.responses["lh"], expected, atol=1e-5)
    assert found.n_trials is None
    assert Manifest.read(tmp_path / "first" / "mine-sub-01").choices["repeats"] == "first"


def test_a_subject_that_was_ingested_otherwise_is_refused(own, tmp_path, capsys) -> None:
    """Also where the new ingest has the usual choice, which manifests do not name."""
    ingest_own(own.root, tmp_path / "data", repeats="rows")
    command = ["folder", own.root, "--out", tmp_path / "data", "--image-size", "8"]
    (line,) = errors_of(command, capsys)
    assert "it was made with repeats rows, not the default; remove" in line
    assert main([*map(str, command), "--repeats", "rows"]) == 0
    assert "18 (53 trials)" in capsys.readouterr().out
