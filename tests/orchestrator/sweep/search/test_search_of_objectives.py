"""Searches of regression and pooled hyperparameters: with the budget of the contrastive one."""

from dataclasses import replace

import pytest

from orchestrator.cli.errors import InputError
from orchestrator.sweep.hyperparameters import with_hyperparameters
from orchestrator.sweep.search.rounds import Progress, scheduler_trial
from orchestrator.sweep.search.study import propose, record
from orchestrator.sweep.search.summary import Standing, best_table
from orchestrator.sweep.spaces import load_search
from tests.builders.planned_rois import ALL_ROIS, three_methods
from tests.builders.small_searches import RANGES, SEARCH, VALUES, rois
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Contrastive, Pooled, Ranges, Regression, Trial
from trainables.spec.search import PARAMETERS_OF, checked, kind_of

COMMON = {name: getattr(RANGES, name) for name in ("learning_rate", "epochs", "batch_size")}
SEARCHES = {
    Regression: replace(SEARCH, ranges=Ranges(**COMMON)),
    Pooled: replace(SEARCH, ranges=Ranges(temperature=RANGES.temperature, **COMMON)),
}


def values_of(kind: type) -> dict[str, float]:
    return {name: VALUES[name] for name in PARAMETERS_OF[kind]}


@pytest.mark.parametrize("kind", SEARCHES, ids=lambda kind: kind.__name__)
def test_a_search_proposes_what_its_objective_has_and_builds_it(kind, tmp_path) -> None:
    search = SEARCHES[kind]
    assert search.kind is kind
    regions = search.choose(rois())
    progress = Progress(search, "optuna", regions, search.backbone, RunDirectory(tmp_path))
    found = propose(progress.study(0), search, 4, {})
    assert {tuple(values) for values in found.values()} == {PARAMETERS_OF[kind]}
    now = next(progress.rounds())
    assert len(now.trials) == 4 * len(regions)
    progress.write_round(now)
    again = Progress(search, "optuna", regions, search.backbone, RunDirectory(tmp_path))
    assert [trial.id for _, trial in next(again.rounds()).trials] == [t.id for _, t in now.trials]
    for _, trial in now.trials:
        assert isinstance(trial.objective, kind)
        assert trial.objective.validation == search.validation
        assert trial.encoding is None


def test_a_pooled_search_trains_on_all_subjects_of_an_roi_and_ranks_within_it(tmp_path) -> None:
    search = SEARCHES[Pooled]
    regions = search.choose(rois())
    assert len(regions) == 4  # V3v and EBA, of two hemispheres
    assert all(len({roi.subject for roi in pool}) == len(pool) == 2 for pool in regions)
    trial = search.trial(values_of(Pooled), regions[0], search.backbone)
    history = (EpochReport(1, 1.0, 1.0, 1.0, 0.3),)
    found = record("a", Outcome(trial, "stopped", "", "", 0.0, {}, history))
    assert found.roi_id == scheduler_trial(trial).roi_id == "nsd-lh-EBA"
    single = [roi for roi in rois() if roi.subject == "subj01"]
    assert search.choose(single) == []


def test_regression_is_searched_on_the_rois_of_the_contrastive_search() -> None:
    large = [replace(roi, n_vertices=21) for roi in ALL_ROIS]
    contrastive, regression, pooled = (
        load_search(f"hyperparameter_search{name}") for name in ("", "_regression", "_pooled")
    )
    assert contrastive.choose(large) == regression.choose(large)
    budgets = {(s.n_configurations, s.per_round, s.n_rois, s.validation, s.reduction_factor)
               for s in (contrastive, regression, pooled)}  # fmt: skip
    assert len(budgets) == 1
    assert len({search.id for search in (contrastive, regression, pooled)}) == 3


@pytest.mark.parametrize("kind", [Contrastive, Regression, Pooled], ids=lambda kind: kind.__name__)
def test_found_hyperparameters_change_the_trials_of_their_objective_alone(kind) -> None:
    pool = Trial(Pooled(), (ALL_ROIS[0], replace(ALL_ROIS[0], subject="subj02", data="other")))
    trials = [*three_methods(ALL_ROIS[:1]), pool]
    values = values_of(kind)
    assert kind_of(values) is kind
    changed = with_hyperparameters(trials, values)
    for before, after in zip(trials, changed, strict=True):
        if isinstance(before.objective, kind):
            assert after.objective == replace(before.objective, **checked(values))
        else:
            assert after == before
    others = [one for one in trials if not isinstance(one.objective, kind)]
    with pytest.raises(InputError, match=f"no {kind.__name__.lower()} trial"):
        with_hyperparameters(others, values)


@pytest.mark.parametrize("names", [("temperature",), ("hidden_ratio",), ("learning_rate",)])
def test_ranges_that_are_no_objectives_are_refused_with_those_that_are(names) -> None:
    some = {name: getattr(RANGES, name) for name in names}
    with pytest.raises(ValueError, match=r"expected those of contrastive: temperature, .*; regres"):
        Ranges(**some)


def test_the_table_of_a_search_has_the_columns_of_its_objective() -> None:
    standing = Standing("a", values_of(Regression), 0.5, 0.1, 3, 0, 0)
    shown = [str(column.header) for column in best_table([standing]).columns]
    assert shown == ["rank", "top-1", "done", "stopped", "rate", "epochs", "batch"]
