"""Pooled trials on a runner: one pass for each subject, resumed, streamed, refused."""

from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from tests.builders.tiny_runs import (
    Listener,
    scores,
)
from trainables.encoding.repeated_passes import read_features
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import (
    TRIAL_KEY,
    read_score_file,
)
from trainables.spec import (
    Trial,
)
from trainables.worker import score_subject, subject_cache

pytestmark = pytest.mark.usefixtures("without_ray")


def test_a_pooled_trial_scores_each_subject_s_roi_with_one_backbone_and_one_pass_each(
    place, monkeypatch
) -> None:
    passes = []
    monkeypatch.setattr(
        score_subject, "read_features", lambda *some: passes.append(some[0]) or read_features(*some)
    )
    trial, listener = place.pooled(), Listener()
    outcome = place.runner().run(trial, listener)
    assert listener.stages == [
        "reading",
        "finetuning",
        *("features", "encoding", "features", "encoding"),
    ]
    assert len(passes) == 2
    assert passes[0] is passes[1]
    assert [report.epoch for report in listener.epochs] == [1, 2]
    assert outcome == Outcome.read(RunDirectory(place.home / "runs"), trial.id)
    for roi in trial.rois:
        path = RunDirectory(place.home / "runs").score_file(trial.id, roi.id)
        rows = read_score_file(path).to_pylist()
        assert {(r["subject"], r["hemisphere"], r["roi"]) for r in rows} == {
            (roi.subject, "lh", "V1v")
        }
        assert {r["method"] for r in rows} == {"pooled-avg"}
        assert len(rows) == 2 * roi.n_vertices
        message = Trial.from_json(pq.read_schema(path).metadata[TRIAL_KEY].decode())
        assert message == trial


def test_pooled_trials_of_two_orders_or_widths_leave_checkpoints_of_their_own(place) -> None:
    trials = [place.pooled(), place.pooled(order="interleaved"), place.pooled(hidden_dim=9)]
    runner = place.runner()
    for trial in trials:
        runner.run(trial, Listener())
    kept = {path.name for path in (place.home / "runs" / "checkpoints").iterdir()}
    assert kept == {trial.training_id for trial in trials}
    r = [[row["r"] for row in scores(place, trial)] for trial in trials]
    assert r[0] != r[1] != r[2] != r[0]


def test_a_pooled_trial_goes_on_where_its_encoding_was_interrupted(place) -> None:
    trial, runs = place.pooled(), place.home / "runs"
    place.runner().run(trial, Listener())
    expected = scores(place, trial)
    done, lost = (RunDirectory(runs).score_file(trial.id, roi.id) for roi in trial.rois)
    before = done.stat().st_mtime_ns
    lost.unlink()
    listener = Listener()
    place.runner().run(trial, listener)
    assert listener.stages == ["reading", "finetuning", "features", "encoding"]
    assert done.stat().st_mtime_ns == before
    assert scores(place, trial) == expected


def test_a_pooled_trial_whose_images_do_not_fit_gives_the_same_scores(place) -> None:
    trial = place.pooled(order="interleaved")
    place.runner("resident").run(trial, Listener())
    one_subject = 60 * 3 * 32 * 32
    for name, budget in (("one", one_subject), ("none", one_subject - 1)):
        place.runner(name, image_budget=budget).run(trial, Listener())
        assert scores(place, trial, "resident") == scores(place, trial, name)


def test_subjects_are_held_while_nothing_else_is_read(place, monkeypatch) -> None:
    reads = []
    original = subject_cache.read_subject
    monkeypatch.setattr(
        subject_cache, "read_subject", lambda shard: reads.append(shard.name) or original(shard)
    )
    runner = place.runner()
    for trial in (place.pooled(), place.untuned(5), place.untuned(0), place.pooled()):
        runner.run(trial, Listener())
    assert reads == ["nsd-subj01", "nsd-subj02"]


def test_a_pooled_trial_of_changed_data_is_refused_by_the_subject_s_name(place) -> None:
    trial = place.pooled()
    stale = replace(trial, rois=(trial.rois[0], replace(trial.rois[1], data="00000000")))
    with pytest.raises(ValueError, match=r"nsd-subj02: its content is .*planned on 00000000"):
        place.runner().run(stale, Listener())
