"""A trial on a warm runner: scores, checkpoint, log and outcome."""

import json
from dataclasses import asdict, replace

import pyarrow.parquet as pq
import pytest

from tests.builders.tiny_runs import (
    CONTRASTIVE,
    ENCODING,
    REGRESSION,
    Listener,
    Place,
    scores,
)
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import (
    SCORE_SCHEMA,
    TRIAL_KEY,
    read_score_file,
)
from trainables.spec import (
    Trial,
)
from trainables.training.checkpoint_notes import LAST
from trainables.worker import subject_cache

pytestmark = pytest.mark.usefixtures("without_ray")


def mean_r(place: Place, trial: Trial, name: str = "runs") -> float:
    found = [row["r"] for row in scores(place, trial, name) if row["protocol"] == "nested"]
    return sum(found) / len(found)


def test_an_untuned_trial_scores_all_its_rois_in_one_pass(place) -> None:
    trial, listener = place.untuned(0, 1, 2, 3, 4), Listener()
    outcome = place.runner().run(trial, listener)
    assert outcome.status == "finished"
    assert listener.stages == ["reading", "features", "encoding"]
    assert listener.epochs == []
    for roi in trial.rois:
        table = read_score_file(RunDirectory(place.home / "runs").score_file(trial.id, roi.id))
        assert table.schema == SCORE_SCHEMA
        assert len(table) == 2 * roi.n_vertices
    assert not (place.home / "runs" / "checkpoints").exists()


@pytest.mark.parametrize("objective", [CONTRASTIVE, REGRESSION], ids=lambda o: o.method)
def test_a_finetuned_trial_leaves_scores_checkpoint_log_and_outcome(place, objective) -> None:
    trial, listener, runs = place.trial(objective), Listener(), place.home / "runs"
    outcome = place.runner().run(trial, listener)
    assert listener.stages == ["reading", "finetuning", "features", "encoding"]
    assert [report.epoch for report in listener.epochs] == [1, 2]
    assert outcome == Outcome.read(RunDirectory(runs), trial.id)
    assert outcome.history == tuple(listener.epochs)
    assert set(outcome.seconds) == set(listener.stages)
    lines = [
        json.loads(line) for line in RunDirectory(runs).log_file(trial.id).read_text().splitlines()
    ]
    stages = [line["stage"] for line in lines if line["event"] == "stage"]
    assert stages == listener.stages
    epochs = [
        {name: line[name] for name in asdict(listener.epochs[0])}
        for line in lines
        if line["event"] == "epoch"
    ]
    assert epochs == [asdict(report) for report in listener.epochs]
    assert (lines[0]["event"], lines[-1]["event"]) == ("started", "finished")
    assert lines[-1]["seconds"] == outcome.seconds
    assert (runs / "checkpoints" / trial.training_id / LAST).exists()
    path = RunDirectory(runs).score_file(trial.id, trial.rois[0].id)
    assert Trial.from_json(pq.read_schema(path).metadata[TRIAL_KEY].decode()) == trial
    rows = scores(place, trial)
    assert {row["protocol"] for row in rows} == {"nested", "paper"}
    assert all(len(row["r_by_layer"]) == 2 for row in rows)
    assert {row["n_test"] for row in rows} == {15}


def test_scores_hold_the_roi_s_own_vertices(place) -> None:
    trial = place.untuned(1, 3)  # lh V2d is columns 4 to 9, rh V1v 0 to 5
    place.runner().run(trial, Listener())
    rows = [row for row in scores(place, trial) if row["protocol"] == "nested"]
    found = {side: [r["vertex"] for r in rows if r["hemisphere"] == side] for side in ("lh", "rh")}
    assert found == {"lh": [4, 5, 6, 7, 8, 9], "rh": [0, 1, 2, 3, 4, 5]}


def test_vertices_that_two_rois_share_have_one_score(place) -> None:
    trial = place.untuned(0, 1)
    place.runner().run(trial, Listener())
    rows = [row for row in scores(place, trial) if row["protocol"] == "nested"]
    shared = [[r for r in rows if r["vertex"] == vertex] for vertex in (4, 5, 6, 7)]
    for first, second in shared:
        assert first["r_by_layer"] == pytest.approx(second["r_by_layer"], abs=1e-6)


def test_the_planted_signal_is_predicted(place) -> None:
    trial = place.untuned(0)
    place.runner().run(trial, Listener())
    assert mean_r(place, trial) > 0.4


def test_the_smallest_roi_is_finetuned_and_scored(place) -> None:
    trial = place.trial(CONTRASTIVE, roi=2)
    assert trial.rois[0].n_vertices == 4
    place.runner().run(trial, Listener())
    assert len(scores(place, trial)) == 8


def test_a_warm_runner_of_two_subjects_equals_fresh_ones_to_the_bit(place) -> None:
    trials = [
        place.trial(CONTRASTIVE, roi=0),
        place.trial(REGRESSION, roi=1),
        place.untuned(0, 4),
        place.trial(CONTRASTIVE, roi=5),  # of the other subject
        place.untuned(6),
        place.trial(REGRESSION, roi=3),  # and back
    ]
    warm = place.runner("warm")
    for trial in trials:
        warm.run(trial, Listener())
        place.runner("fresh").run(trial, Listener())
        assert scores(place, trial, "warm") == scores(place, trial, "fresh")


def test_a_warm_runner_reads_a_subject_once(place, monkeypatch) -> None:
    reads = []
    original = subject_cache.read_subject
    monkeypatch.setattr(
        subject_cache, "read_subject", lambda shard: reads.append(shard.name) or original(shard)
    )
    runner = place.runner()
    for trial in (place.trial(), place.untuned(0), place.trial(REGRESSION), place.untuned(5)):
        runner.run(trial, Listener())
    assert reads == ["nsd-subj01", "nsd-subj02"]


def test_a_trial_run_again_gives_the_same_scores(place) -> None:
    trial = place.trial()
    place.runner("first").run(trial, Listener())
    place.runner("second").run(trial, Listener())
    assert scores(place, trial, "first") == scores(place, trial, "second")


def test_a_trial_interrupted_between_epochs_resumes_to_the_same_scores(place) -> None:
    class Killed(BaseException):
        pass

    class Dying(Listener):
        def epoch(self, report: EpochReport) -> bool:
            if report.epoch == 2:
                raise Killed
            return True

    trial = place.trial()
    with pytest.raises(Killed):
        place.runner("killed", keep="every").run(trial, Dying())
    assert Outcome.read(RunDirectory(place.home / "killed"), trial.id) is None
    listener = Listener()
    place.runner("killed").run(trial, listener)
    assert [report.epoch for report in listener.epochs] == [2]
    place.runner("straight").run(trial, Listener())
    assert scores(place, trial, "killed") == scores(place, trial, "straight")


def test_another_encoding_of_a_trained_backbone_trains_nothing(place) -> None:
    trial, listener = place.trial(), Listener()
    other = replace(trial, encoding=replace(ENCODING, alphas=(10.0,)))
    runner = place.runner()
    runner.run(trial, Listener())
    outcome = runner.run(other, listener)
    assert listener.epochs == []
    assert len(outcome.history) == 2
    assert other.id != trial.id
    assert len(scores(place, other)) == len(scores(place, trial))


def test_a_trial_stopped_after_an_epoch_is_an_outcome_without_scores(place) -> None:
    trial = place.trial()
    outcome = place.runner().run(trial, Listener(stop_after=1))
    assert outcome.status == "stopped"
    assert [report.epoch for report in outcome.history] == [1]
    assert Outcome.read(RunDirectory(place.home / "runs"), trial.id) == outcome
    assert scores(place, trial) == []


def test_a_trial_stopped_before_encoding_is_an_outcome_without_scores(place) -> None:
    outcome = place.runner().run(place.untuned(0), Listener(stop_at="encoding"))
    assert outcome.status == "stopped"
