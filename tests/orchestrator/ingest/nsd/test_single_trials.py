"""``--repeats rows``: the trials of training images are kept beside the means of all images."""

import json

import numpy as np
import pytest

from tests.builders.nsd_folder import (
    nsdgeneral,
    prepare,
    shown,
    write,
    zscored_sessions,
)
from trainables.data.data_directory import row_files
from trainables.data.loading import read_subject
from trainables.data.shards import Manifest
from trainables.data.trials import read_trials
from trainables.spec.rois import HEMISPHERES

SPLIT = "shared1000"


@pytest.fixture(scope="module")
def kept(released, tmp_path_factory):
    """A subject with its single trials, as written; and the same with means alone."""
    home = tmp_path_factory.mktemp("single")
    subjects = {}
    for repeats in ("rows", "mean"):
        subjects[repeats] = prepare(released, home / f"scratch-{repeats}", repeats=repeats)
        write(subjects[repeats], home / repeats, SPLIT)
    return home, subjects


@pytest.mark.parametrize("side", HEMISPHERES)
def test_each_trial_of_a_training_image_is_kept_as_it_was_zscored(released, kept, side) -> None:
    home, subjects = kept
    shard = home / "rows" / "nsd-subj01"
    n_vertices = subjects["rows"].hemispheres[side].n_vertices
    trials, subject = read_trials(shard, side, np.arange(n_vertices)), read_subject(shard)
    vertices = subjects["rows"].hemispheres[side].fsaverage
    stacked = np.concatenate(zscored_sessions(released, side))[:, vertices]
    flat = np.concatenate(shown(released))
    assert np.unique(trials.images).tolist() == sorted(subject.train_rows.tolist())
    for row in subject.train_rows:
        places = np.flatnonzero(flat == int(subjects["rows"].stimuli[row][4:]))
        assert subject.n_trials[row] == len(places) == 3
        own = trials.responses[trials.images == row]
        np.testing.assert_allclose(own, stacked[places], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", HEMISPHERES)
def test_means_split_and_ceilings_are_those_without_single_trials(released, kept, side) -> None:
    """But for the vertices that lack data in a session, which have no single trials there."""
    home, subjects = kept
    rows, mean = (read_subject(home / name / "nsd-subj01") for name in ("rows", "mean"))
    half, whole = (subjects[name].hemispheres[side] for name in ("rows", "mean"))
    vertices = nsdgeneral(released, side)
    lacking = np.isnan(np.concatenate(zscored_sessions(released, side))[:, vertices]).any(axis=0)
    assert lacking.any()
    np.testing.assert_array_equal(half.fsaverage, vertices[~lacking])
    same = np.isin(whole.fsaverage, half.fsaverage)
    np.testing.assert_array_equal(rows.responses[side], mean.responses[side][:, same])
    np.testing.assert_array_equal(half.noise_ceiling, whole.noise_ceiling[same])
    np.testing.assert_array_equal(rows.train_rows, mean.train_rows)
    np.testing.assert_array_equal(rows.test_rows, mean.test_rows)


def test_only_kept_trials_change_the_manifest(kept) -> None:
    home, _ = kept
    rows, mean = (home / name / "nsd-subj01" for name in ("rows", "mean"))
    assert Manifest.read(rows).n_trials == 3 * Manifest.read(rows).n_train
    assert Manifest.read(rows).data != Manifest.read(mean).data
    assert "n_trials" not in json.loads((mean / "manifest.json").read_text())
    assert row_files(mean, "trials") == []
    assert len(row_files(rows)) == len(row_files(rows, "trials")) == 1


def test_the_split_of_the_challenge_keeps_trials_of_its_training_sessions(
    released, tmp_path, capsys
) -> None:
    subject = prepare(released, tmp_path / "scratch", repeats="rows", split="algonauts")
    write(subject, tmp_path / "data", "algonauts")
    shard = tmp_path / "data" / "nsd-subj01"
    read = read_subject(shard)
    early = np.concatenate(shown(released)[:3])
    for row in read.train_rows:
        assert read.n_trials[row] == np.sum(early == int(subject.stimuli[row][4:]))
    assert len(read_trials(shard, "lh", np.arange(1)).images) == len(early)
    printed = " ".join(capsys.readouterr().out.split())
    assert "3 vertices have no data in some session, and are dropped, since single" in printed
