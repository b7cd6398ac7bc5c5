"""What a search draws, ranks and proposes."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.sweep.search.study import (
    Record,
    build_study,
    diverged,
    propose,
    rank_shares,
    record,
)
from orchestrator.sweep.spaces import load_search
from tests.builders.small_searches import SEARCH, VALUES, one, rois, rounds
from trainables.results.epoch_report import EpochReport
from trainables.results.outcome import Outcome
from trainables.spec import Contrastive, Encoding, Trial, Untuned
from trainables.spec.search import (
    PARAMETERS,
    Choice,
    IntegerRange,
    LogUniform,
    name_of,
)


def outcome(status: str = "finished", **more) -> Outcome:
    trial = SEARCH.trial(VALUES, (rois()[2],), SEARCH.backbone)
    history = tuple(EpochReport(n, 1.0, 1.0, 1.0, n / 10) for n in (1, 2))
    return Outcome(trial, status, "", "", 0.0, {}, **{"history": history, **more})


def test_rois_are_drawn_from_those_of_more_than_the_least_vertices_without_streams() -> None:
    everything = replace(SEARCH, n_rois=100).choose(rois())
    assert len(everything) == 8
    assert {roi.n_vertices for (roi,) in everything} == {21, 22}
    assert len(SEARCH.choose(rois())) == 4


def test_the_same_seed_draws_the_same_rois_in_whatever_order_and_another_does_not() -> None:
    drawn = SEARCH.choose(rois())
    assert SEARCH.choose(rois()[::-1]) == drawn
    assert any(replace(SEARCH, seed=s).choose(rois()) != drawn for s in (1, 2, 3))


def test_ranks_are_averaged_over_rois_as_by_hand() -> None:
    records = [
        one("a", "V1v", 10, 0.5),
        one("b", "V1v", 10, 0.9),
        one("c", "V1v", 5, 0.7),  # stopped half-way: by what it had reached then
        one("d", "V1v", 0, 0.0),  # diverged
        one("a", "EBA", 10, 0.2),
        one("b", "EBA", 10, 0.2),  # a tie
        one("c", "EBA", 10, 0.0),
        one("d", "EBA", 0, 0.0),  # below one that retrieved nothing
    ]
    assert rank_shares(records) == pytest.approx(
        {
            "a": (1.5 / 4 + 3 / 4) / 2,
            "b": (3.5 / 4 + 3 / 4) / 2,
            "c": (2.5 / 4 + 1.5 / 4) / 2,
            "d": (0.5 / 4 + 0.5 / 4) / 2,
        }
    )


def test_a_short_training_that_finished_is_not_below_a_longer_one() -> None:
    shares = rank_shares([one("short", "V1v", 3, 0.6, of=3), one("long", "V1v", 30, 0.5, of=30)])
    assert shares["short"] > shares["long"]


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1)), min_size=1, max_size=12))
def test_rank_shares_of_an_roi_lie_between_0_and_1_and_average_a_half(pairs) -> None:
    shares = rank_shares([one(str(n), "V1v", *pair) for n, pair in enumerate(pairs)])
    assert all(0 < share < 1 for share in shares.values())
    assert sum(shares.values()) / len(shares) == pytest.approx(0.5)


def test_a_record_is_the_last_epoch_of_an_outcome() -> None:
    assert record("a", outcome()) == Record("a", "nsd-subj01-lh-V3v", 2, 4, 0.2, stopped=False)
    assert record("a", outcome("stopped")).stopped


def test_a_diverged_training_ranks_below_all_and_another_failure_is_no_result() -> None:
    broken = outcome("failed", error="not a number", error_kind="diverged", history=())
    assert record("a", broken).key < one("b", "V1v", 1, 0.0).key
    named = "FloatingPointError.parquet: no such file"
    assert not diverged(outcome("failed", error=named, error_kind="input"))


@pytest.mark.parametrize("searcher", ["optuna", "random"])
def test_a_study_rebuilt_from_the_records_proposes_the_same(searcher) -> None:
    known, records = rounds(searcher)
    assert len(known) == 12
    first = dict(list(known.items())[:8])
    earlier = [one for one in records if one.configuration in first]
    study = build_study(SEARCH, searcher, 2, first, earlier)
    assert propose(study, SEARCH, 4, first) == dict(list(known.items())[8:])
    values = [trial.value for trial in study.get_trials()][:8]
    assert values == pytest.approx(list(rank_shares(earlier).values()))


def test_another_seed_and_another_searcher_propose_otherwise() -> None:
    known, _ = rounds()
    assert rounds(search=replace(SEARCH, seed=1))[0] != known
    assert rounds("random")[0] != known


def test_the_searcher_learns_where_the_better_ones_are() -> None:
    search = replace(SEARCH, n_configurations=48, per_round=8)
    mean = {}
    for searcher in ("optuna", "random"):
        known, _ = rounds(searcher, search)
        late = [values["temperature"] for values in list(known.values())[24:]]
        mean[searcher] = sum(late) / len(late)
    assert mean["optuna"] < 0.75 * mean["random"]


def test_proposals_lie_in_their_ranges_and_none_is_made_twice() -> None:
    known, _ = rounds()
    assert len({name_of(values) for values in known.values()}) == 12
    for values in known.values():
        assert tuple(values) == PARAMETERS
        assert 0.1 <= values["temperature"] <= 1.0
        assert values["epochs"] in range(2, 9)
        assert values["batch_size"] in (16, 64)
        assert SEARCH.objective(values).validation == 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_rois": 0}, "n_rois: expected a value of at least 1, found 0"),
        ({"validation": 0.0}, "validation: expected a value above 0, found 0.0"),
        ({"grace_period": 9}, "above the most epochs, 8"),
        ({"reduction_factor": 1}, "reduction_factor"),
    ],
)
def test_a_search_that_cannot_be_run_is_refused(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SEARCH, **change)


@pytest.mark.parametrize(
    "make",
    [
        lambda: LogUniform(0, 1),
        lambda: LogUniform(2, 1),
        lambda: IntegerRange(0, 3),
        lambda: Choice(()),
        lambda: Choice((1, 1)),
    ],
)
def test_an_empty_range_is_refused(make) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


def test_a_trial_of_a_search_is_not_encoded_and_travels_as_json() -> None:
    trial = SEARCH.trial(VALUES, (rois()[0],), SEARCH.backbone)
    assert trial.encoding is None
    assert Trial.from_json(trial.to_json()) == trial
    encoded = replace(trial, encoding=Encoding())
    assert trial.training_id == encoded.training_id == trial.id != encoded.id
    assert Trial.from_json(encoded.to_json()).id == encoded.id


def test_an_untuned_trial_that_is_not_encoded_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to do"):
        Trial(Untuned(), (rois()[0],), encoding=None)


def test_the_searches_that_come_with_the_program_hold_the_papers_settings() -> None:
    searches = {
        name: load_search(name)
        for name in ("hyperparameter_search", "hyperparameter_search_demo", "paper")
    }
    assert searches["paper"] is None
    paper = searches["hyperparameter_search"]
    assert (paper.n_rois, paper.min_vertices, paper.validation) == (30, 20, 0.1)
    default = Contrastive()
    for name, span in paper.ranges.items():
        value = getattr(default, name)
        assert value in span.values if isinstance(span, Choice) else span.low <= value <= span.high
    assert searches["hyperparameter_search_demo"].n_configurations == 8
