"""Trials of a search, and deterministic ones, on a runner."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.builders.tiny_runs import (
    CONTRASTIVE,
    Listener,
)
from trainables.compute.numerics import Numerics
from trainables.compute.truncated_eigh import leading_components
from trainables.data.loading import Subject, read_images, read_subject
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import (
    read_scores,
)
from trainables.spec.evaluation import Evaluation
from trainables.training.checkpoint_notes import LAST
from trainables.worker import score_subject, subject_cache

pytestmark = pytest.mark.usefixtures("without_ray")


def test_a_trial_that_is_not_encoded_is_finetuned_and_passes_no_test_image(
    place, monkeypatch
) -> None:
    monkeypatch.setattr(
        score_subject, "read_features", lambda *a: pytest.fail("an image was encoded")
    )
    trial = replace(place.trial(), encoding=None)
    listener, runs = Listener(), place.home / "runs"
    outcome = place.runner().run(trial, listener)
    assert (outcome.status, listener.stages) == ("finished", ["reading", "finetuning"])
    assert Outcome.read(RunDirectory(runs), trial.id) == outcome
    assert (runs / "checkpoints" / trial.training_id / LAST).exists()
    assert not (runs / "scores").exists()


@pytest.mark.parametrize("stop_after", [None, 1])
def test_a_search_keeps_no_checkpoint_of_an_ended_trial_and_touches_no_other(
    place, stop_after
) -> None:
    encoded, runs = place.trial(), place.home / "runs"
    place.runner().run(encoded, Listener())
    kept = runs / "checkpoints" / encoded.training_id
    before = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    trial = replace(encoded, encoding=None)
    outcome = place.runner(of_search=True).run(trial, Listener(stop_after))
    assert outcome.status == ("stopped" if stop_after else "finished")
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == before
    assert list((runs / "hyperparameter_search" / "checkpoints").iterdir()) == []


def test_a_trial_of_a_search_that_was_killed_resumes_at_its_checkpoint(place, monkeypatch) -> None:
    trial, listener = replace(place.trial(), encoding=None), Listener()
    whole = place.runner("whole", of_search=True).run(trial, Listener())

    def die(*_: object) -> None:
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Outcome, "write", die)
        with pytest.raises(OSError, match="killed"):
            place.runner(of_search=True).run(trial, Listener(stop_after=1))
    again = place.runner(of_search=True).run(trial, listener)
    assert [report.epoch for report in listener.epochs][:1] == [2]
    assert [one.loss for one in again.history] == [one.loss for one in whole.history]


def test_what_a_search_measures_does_not_depend_on_the_test_images(place, monkeypatch) -> None:
    objective = replace(CONTRASTIVE, validation=0.2)
    trial = replace(place.trial(objective), encoding=None)
    plain = place.runner("plain", of_search=True).run(trial, Listener())

    def read_garbled_subject(shard: Path) -> Subject:
        subject = read_subject(shard)
        responses = {side: matrix.copy() for side, matrix in subject.responses.items()}
        for matrix in responses.values():
            matrix[subject.test_rows] = 1e3
        return replace(subject, responses=responses)

    def read_garbled_images(shard: Path, *how: Any) -> torch.Tensor:
        images = read_images(shard, *how)
        images[read_subject(shard).test_rows] = 0
        return images

    monkeypatch.setattr(subject_cache, "read_subject", read_garbled_subject)
    monkeypatch.setattr(subject_cache, "read_images", read_garbled_images)
    garbled = place.runner("garbled", of_search=True).run(trial, Listener())
    measured = [[(one.loss, one.retrieval_top1) for one in o.history] for o in (plain, garbled)]
    assert measured[0] == measured[1]
    assert measured[0][-1][1] is not None


def numerics_at_the_decomposition(monkeypatch) -> list[bool]:
    """Note at each eigendecomposition of a trial whether it and torch are to be deterministic."""
    seen: list[bool] = []

    def noting(K, k, numerics=None, start=None):
        assert isinstance(numerics, Numerics)
        assert numerics.deterministic == torch.are_deterministic_algorithms_enabled()
        if not seen or seen[-1] != numerics.deterministic:
            seen.append(numerics.deterministic)
        return leading_components(K, k, numerics, start)

    monkeypatch.setattr("trainables.encoding.pca.leading_components", noting)
    return seen


def test_a_deterministic_trial_repeats_to_the_bit_and_leaves_torch_as_it_was(
    place, monkeypatch
) -> None:
    seen = numerics_at_the_decomposition(monkeypatch)
    deterministic = place.trial().as_deterministic()
    rows = []
    for name, trial in (("one", deterministic), ("two", deterministic), ("fast", place.trial())):
        runner = place.runner(name)
        assert runner.run(trial, Listener()).status == "finished"
        rows.append(read_scores(RunDirectory(place.home / name), trial.id).column("r").to_numpy())
    assert seen == [True, False]
    assert not torch.are_deterministic_algorithms_enabled()
    np.testing.assert_array_equal(rows[0], rows[1])
    np.testing.assert_allclose(rows[0], rows[2], atol=1e-4)


def test_a_deterministic_model_is_evaluated_exactly(place, monkeypatch) -> None:
    seen = numerics_at_the_decomposition(monkeypatch)
    deterministic, runner = place.trial().as_deterministic(), place.runner()
    runner.run(deterministic, Listener())
    seen.clear()
    other = next(roi for roi in place.rois if roi.shard != deterministic.rois[0].shard)
    assert runner.run(Evaluation(deterministic, (other,)), Listener()).status == "finished"
    assert seen == [True]
