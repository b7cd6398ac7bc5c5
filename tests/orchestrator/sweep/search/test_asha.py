"""Successive halving within each ROI, against Ray's own on one ROI; no Ray is started."""

import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from orchestrator.sweep.search.asha import RoiAsha, SchedulerTrial
from orchestrator.sweep.search.rounds import Progress, prime, scheduler_trial
from orchestrator.sweep.search.study import Record, rank_shares
from search_spaces.hyperparameter_search import SEARCH as HYPERPARAMETER_SEARCH
from tests.builders.small_searches import SEARCH, VALUES, rois
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.storage.atomic import write_text
from trainables.training.checkpoint_notes import LAST

EPOCHS = 8


def reports(values) -> tuple[EpochReport, ...]:
    return tuple(EpochReport(n, 1.0, 1.0, 1.0, float(v)) for n, v in enumerate(values, 1))


def stopped_at(scheduler: RoiAsha, trial: SchedulerTrial, values) -> int | None:
    """Report epoch after epoch, as Tune does; return the epoch that it was stopped at."""
    stand_in = SimpleNamespace(config={"trial": trial.trial_id})
    for epoch, value in enumerate(values, 1):
        result = {"epoch": epoch, "retrieval_top1": float(value)}
        if scheduler.on_trial_result(None, stand_in, result) == TrialScheduler.STOP:
            return epoch
    return None


def ray_stopped_at(scheduler: AsyncHyperBandScheduler, name: str, values) -> int | None:
    trial = SimpleNamespace(trial_id=name)
    scheduler.on_trial_add(None, trial)
    for epoch, value in enumerate(values, 1):
        result = {"epoch": epoch, "retrieval_top1": float(value)}
        if scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP:
            return epoch
    return None


def of_roi(roi: str, n: int, epochs: int = EPOCHS) -> dict[str, SchedulerTrial]:
    return {f"{roi}-{i}": SchedulerTrial(f"{roi}-{i}", roi, epochs) for i in range(n)}


@pytest.mark.parametrize("seed", range(5))
def test_on_one_roi_the_decisions_are_those_of_rays_own_scheduler(seed) -> None:
    curves = np.random.default_rng(seed).random((20, EPOCHS))
    own = of_roi("V1v", 20, epochs=99)  # none is at its last epoch, so none is spared for that
    asha = RoiAsha(SEARCH, own)
    ray = AsyncHyperBandScheduler(
        "epoch", "retrieval_top1", "max", EPOCHS, 1, 2, stop_last_trials=False
    )
    pairs = [
        (stopped_at(asha, trial, curve), ray_stopped_at(ray, trial.trial_id, curve))
        for trial, curve in zip(own.values(), curves, strict=True)
    ]
    assert all(mine == rays for mine, rays in pairs)
    assert {mine is None for mine, _ in pairs} == {True, False}


def test_trials_of_two_rois_are_never_compared() -> None:
    good, poor = of_roi("V1v", 6), of_roi("EBA", 6)
    asha = RoiAsha(SEARCH, good | poor)
    for n, (high, low) in enumerate(zip(good.values(), poor.values(), strict=True)):
        assert stopped_at(asha, high, [0.9 + n / 100] * EPOCHS) is None
        assert stopped_at(asha, low, [0.01 + n / 1000] * EPOCHS) is None


def test_the_worse_of_an_roi_is_stopped_at_the_first_rung_and_its_worker_is_reported() -> None:
    own, message = of_roi("V1v", 2), []
    asha = RoiAsha(SEARCH, own, message.append)
    assert stopped_at(asha, own["V1v-0"], [0.5] * EPOCHS) is None
    assert stopped_at(asha, own["V1v-1"], [0.4] * EPOCHS) == 1
    assert message == ["V1v-1"]


def test_a_trial_at_its_last_epoch_is_not_stopped() -> None:
    own = of_roi("V1v", 1) | {"short": SchedulerTrial("short", "V1v", 1)}
    asha = RoiAsha(SEARCH, own)
    stopped_at(asha, own["V1v-0"], [0.5] * EPOCHS)
    assert stopped_at(asha, own["short"], [0.4]) is None


def test_a_report_without_retrieval_and_the_last_event_stop_nothing() -> None:
    own = of_roi("V1v", 1)
    asha = RoiAsha(SEARCH, own)
    for result in ({"epoch": 1, "retrieval_top1": None}, {"seconds": 3.0, "epoch": None}):
        assert asha.decide(own["V1v-0"], result)


@pytest.mark.parametrize("cut", [(3, 0), (3, 1), (4, 3), (9, 5)])
def test_primed_by_replay_it_decides_as_if_it_had_never_been_interrupted(cut) -> None:
    n_ended, n_epochs = cut
    curves = np.random.default_rng(7).random((12, EPOCHS))
    own = of_roi("V1v", 12)
    whole = RoiAsha(SEARCH, own)
    expected = [stopped_at(whole, trial, c) for trial, c in zip(own.values(), curves, strict=True)]
    again = RoiAsha(SEARCH, own)
    trials = list(own.values())
    for trial, curve, end in zip(trials[:n_ended], curves, expected, strict=False):
        again.replay(trial, reports(curve[: end or EPOCHS]))
    half, curve = trials[n_ended], curves[n_ended]
    reached = min(n_epochs, expected[n_ended] or EPOCHS)
    goes_on = again.replay(half, reports(curve[:reached]))
    assert goes_on == (expected[n_ended] is None or reached < expected[n_ended])
    for trial, curve, end in list(zip(trials, curves, expected, strict=True))[n_ended + 1 :]:
        if goes_on:
            rest = dict(enumerate(curves[n_ended], 1))
            stand_in = SimpleNamespace(config={"trial": half.trial_id})
            for epoch in range(reached + 1, (expected[n_ended] or EPOCHS) + 1):
                again.on_trial_result(
                    None, stand_in, {"epoch": epoch, "retrieval_top1": rest[epoch]}
                )
            goes_on = False
        assert stopped_at(again, trial, curve) == end


def test_where_longer_training_is_better_short_ones_are_not_ranked_above_for_being_short() -> None:
    """Settings alike but for the epochs, on a rising curve: few rungs passed is no merit."""
    generator, records = np.random.default_rng(0), []
    own = [(f"{epochs}-{n}", epochs) for epochs in (10, 45) for n in range(10)]
    for roi in range(20):
        asha = RoiAsha(HYPERPARAMETER_SEARCH, {})
        for name, epochs in generator.permutation(np.array(own, dtype=object)):
            curve = 1 - np.exp(-np.arange(1, epochs + 1) / 20)
            curve += generator.normal(0, 0.05, epochs)
            trial = SchedulerTrial(f"{name}-{roi}", str(roi), epochs)
            results = [{"epoch": n, "retrieval_top1": v} for n, v in enumerate(curve, 1)]
            decisions = [asha.decide(trial, result) for result in results]
            end = epochs if all(decisions) else decisions.index(False) + 1
            records.append(Record(name, str(roi), end, epochs, curve[end - 1], end < epochs))
    assert {one.stopped for one in records} == {True, False}
    shares = rank_shares(records)
    short, long = (
        np.mean([share for name, share in shares.items() if name.startswith(epochs)])
        for epochs in ("10-", "45-")
    )
    assert long > short


def test_it_refuses_another_metric_and_pickles_without_its_state() -> None:
    asha = RoiAsha(SEARCH, {}, lambda trial_id: None)
    assert asha.set_search_properties(None, None)
    assert not asha.set_search_properties("loss", "min")
    pickle.loads(pickle.dumps(asha))


def test_a_stop_that_was_decided_but_not_written_down_is_written_at_the_next_start(
    tmp_path,
) -> None:
    roi = rois()[2]
    first, second = (
        SEARCH.trial(VALUES | {"temperature": t}, (roi,), SEARCH.backbone) for t in (0.3, 0.5)
    )
    progress = Progress(SEARCH, "optuna", [(roi,)], SEARCH.backbone, RunDirectory(tmp_path))
    progress.configurations |= {
        name: VALUES | {"temperature": t} for name, t in (("a", 0.3), ("b", 0.5))
    }
    Outcome(first, "finished", "", "", 0.0, {}, reports([0.5] * 4)).write(RunDirectory(tmp_path))
    folder = progress.checkpoint(second).path
    history = [vars(one) for one in reports([0.1])]
    note = {"epoch": 1, "model": "a", "optimizer": None, "sha256": {}, "history": history}
    folder.mkdir(parents=True)
    write_text(folder / LAST, json.dumps(note))
    asha = RoiAsha(SEARCH, {second.id: scheduler_trial(second)})
    assert prime(asha, progress, [second]) == []
    ended = Outcome.read(RunDirectory(tmp_path), second.id)
    assert (ended.status, [one.epoch for one in ended.history]) == ("stopped", [1])
