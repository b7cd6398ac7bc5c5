"""A subject with single trials: read, trained on in turn, and counted by the readout."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.builders.edited_shards import trust_files
from tests.builders.kept_trials import add_trials
from tests.builders.tiny_runs import CONTRASTIVE, Listener, Place, scores
from trainables.data.data_directory import DataDirectory, row_files
from trainables.data.loading import read_subject
from trainables.data.shards import list_rois, read_planned_vertices
from trainables.data.trials import Trials, read_trials
from trainables.training.batches import TrainingData
from trainables.worker import subject_cache

pytestmark = pytest.mark.usefixtures("without_ray")


def with_trials(place: Place, counts: np.ndarray, noise: float = 1.0) -> Place:
    """Add trials to the subjects of a place."""
    data = DataDirectory(place.home / "data")
    for shard in data.shards():
        add_trials(shard, counts, noise)
    return Place(place.home, list_rois(data), place.backbone)


def test_trials_are_read_at_the_vertices_of_a_roi(place) -> None:
    counts = np.random.default_rng(0).integers(1, 4, 60)
    place = with_trials(place, counts)
    shard = place.home / "data" / "nsd-subj01"
    subject = read_subject(shard)
    np.testing.assert_array_equal(subject.n_trials, counts)
    trials = read_trials(shard, "lh", np.arange(4, 10))
    assert trials.responses.shape == (subject.n_trials[subject.train_rows].sum(), 6)
    for image in subject.train_rows:
        own = trials.responses[trials.images == image]
        assert len(own) == counts[image]
        expected = subject.responses["lh"][image, 4:10]
        np.testing.assert_allclose(own.mean(axis=0), expected, atol=1e-6)


def test_a_subject_of_means_has_no_trials(place) -> None:
    shard = place.home / "data" / "nsd-subj01"
    assert read_trials(shard, "lh", np.arange(4)) is None
    assert read_subject(shard).n_trials is None


def test_trials_of_another_number_are_refused(place) -> None:
    shard = with_trials(place, np.full(60, 2)).home / "data" / "nsd-subj01"
    manifest = shard / "manifest.json"
    changed = json.loads(manifest.read_text()) | {"n_trials": 91}
    manifest.write_text(json.dumps(changed))
    trust_files(shard)
    with pytest.raises(ValueError, match=r"nsd-subj01: expected 91 rows, .* found 90"):
        read_trials(shard, "lh", np.arange(4))
    row_files(shard, "trials")[0].write_bytes(b"")
    with pytest.raises(ValueError, match=r"trials-00000.parquet: damaged"):
        read_trials(shard, "lh", np.arange(4))


def test_a_backbone_is_trained_on_its_rois_trials(place, monkeypatch) -> None:
    given: list[TrainingData] = []
    monkeypatch.setattr(
        "trainables.worker.runner.finetune", lambda *of, **_: given.extend(of[3]) or ()
    )
    place = with_trials(place, np.full(60, 3))
    place.runner().run(place.trial(CONTRASTIVE, roi=1), Listener())
    [data] = given
    shard = place.home / "data" / "nsd-subj01"
    trials = read_trials(shard, "lh", np.arange(4, 10))
    np.testing.assert_array_equal(data.trials.responses, trials.responses)
    used = torch.stack([next(data.responses_of([data.rows], epoch)) for epoch in (1, 2, 3)])
    torch.testing.assert_close(used.mean(dim=0), data.responses[data.rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("is_even", [True, False])
def test_the_readout_counts_trials_that_equal_their_means(place, is_even) -> None:
    """The training is then that of means, and the readout too where each image has one trial."""
    means = values(place, "means")
    counts = np.ones(60, np.int64) if is_even else np.random.default_rng(0).integers(1, 4, 60)
    trials = values(with_trials(place, counts, noise=0), "trials")
    assert (np.abs(trials - means).max() < 1e-6) == is_even


def values(place: Place, name: str) -> np.ndarray:
    trial = place.trial(CONTRASTIVE)
    place.runner(name).run(trial, Listener())
    return np.array([row["r"] for row in scores(place, trial, name)])


def read_by(
    place: Place, monkeypatch: pytest.MonkeyPatch, n_subjects: float, rois: list[int]
) -> tuple[list[tuple[str, str]], int]:
    """Fine-tune on ROIs one after another; return what trials were read, and how many subjects.

    n_subjects: subjects whose responses and trials fit the budget.
    """
    found: list[tuple[str, str]] = []
    given: list[TrainingData] = []

    def noted(shard: Path, side: str, vertices: np.ndarray) -> Trials | None:
        found.append((shard.name.removeprefix("nsd-"), side))
        return read_trials(shard, side, vertices)

    place = with_trials(place, np.full(60, 3))
    manifest = read_subject(place.home / "data" / "nsd-subj01").manifest
    n_rows = manifest.n_images + manifest.n_trials
    limit = int(2 * n_subjects * 4 * n_rows * sum(manifest.n_vertices.values()))
    monkeypatch.setattr(subject_cache, "memory_limit", lambda: limit)
    monkeypatch.setattr(subject_cache, "read_trials", noted)
    subjects: list[Path] = []
    monkeypatch.setattr(
        subject_cache, "read_subject", lambda shard: subjects.append(shard) or read_subject(shard)
    )
    monkeypatch.setattr(subject_cache.os, "sched_getaffinity", lambda process: [0])
    monkeypatch.setattr(
        "trainables.worker.runner.finetune", lambda *of, **_: given.extend(of[3]) or ()
    )
    runner = place.runner(image_budget=10**9)
    clock = SimpleNamespace(perf_counter=lambda: float(len(found)))
    monkeypatch.setattr("trainables.worker.progress.time", clock)
    for seed, number in enumerate(rois):
        n_read, roi = len(found), place.rois[number]
        trial = replace(place.trial(CONTRASTIVE, number), seed=seed, encoding=None)
        seconds = runner.run(trial, Listener()).seconds
        assert seconds == {"reading": len(found) - n_read, "finetuning": 0}
        vertices = read_planned_vertices(DataDirectory(place.home / "data"), roi)
        expected = read_trials(place.home / "data" / roi.shard, roi.hemisphere, vertices)
        np.testing.assert_array_equal(given.pop().trials.responses, expected.responses)
    return found, len(subjects)


LEFT, RIGHT, OTHER = ("subj01", "lh"), ("subj01", "rh"), ("subj02", "lh")


@pytest.mark.parametrize(
    ("n_subjects", "expected"),
    [
        (2, ([LEFT, RIGHT, OTHER], 2)),
        (1.3, ([LEFT, RIGHT, OTHER, LEFT], 2)),  # trials go before the other subject does
        (0, ([LEFT, LEFT, RIGHT, OTHER, OTHER, LEFT], 3)),
    ],
)
def test_a_hemispheres_trials_are_read_once_where_they_fit(
    place, monkeypatch, n_subjects, expected
) -> None:
    assert read_by(place, monkeypatch, n_subjects, [0, 1, 3, 5, 6, 1]) == expected
