"""What a sweep says of its groups' time."""

import pytest

from orchestrator.cluster.utilisation import describe_utilisation
from trainables.results.outcome import Outcome
from trainables.spec import Roi, Trial, Untuned

TRIAL = Trial(Untuned(), (Roi("nsd", "subj01", "lh", "V1v", 1, "none"),))


def outcome(started: float, seconds: float) -> Outcome:
    return Outcome(TRIAL, "finished", "host", "cpu", started, {"reading": 1.0, "x": seconds - 1})


ONE_AFTER_ANOTHER = [(120.0, 30.0), (160.0, 30.0)]
SIDE_BY_SIDE = [(120.0, 60.0), (150.0, 50.0), (180.0, 20.0)]
EARLIER = (50.0, 40.0)


@pytest.mark.parametrize(
    ("n_groups", "trials", "work", "starting", "waiting"),
    [
        (1, ONE_AFTER_ANOTHER, 60, 20, 20),
        (2, ONE_AFTER_ANOTHER, 30, 10, 60),  # the second group had no trial
        (2, SIDE_BY_SIDE, 65, 35, 0),  # it began 30 s after the first
        (3, SIDE_BY_SIDE, 43, 23, 33),
        (1, [(110.0, 500.0)], 100, 0, 0),  # a clock of another node
    ],
)
def test_times_of_this_run_alone_are_shared_out(
    n_groups: int, trials: list[tuple[float, float]], work: int, starting: int, waiting: int
) -> None:
    outcomes = [outcome(*one) for one in (*trials, EARLIER)]
    assert describe_utilisation(outcomes, n_groups, 100.0, 200.0) == (
        f"up to {n_groups} at a time for 2 min: {work}% of the workers' time was trials, "
        f"{starting}% starting, {waiting}% waiting"
    )


def test_failed_trials_which_have_no_seconds_are_left_out() -> None:
    failed = [
        Outcome(TRIAL, "failed", "host", "cpu", started, {}) for started in (110.0, 130.0, 195.0)
    ]
    trials = [outcome(*one) for one in SIDE_BY_SIDE]
    assert describe_utilisation(failed, 2, 100.0, 200.0) is None
    described = describe_utilisation([*trials, *failed], 2, 100.0, 200.0)
    assert described == describe_utilisation(trials, 2, 100.0, 200.0)


def test_nothing_is_said_without_a_trial_or_of_a_start() -> None:
    assert describe_utilisation([], 2, 100.0, 200.0) is None
    assert describe_utilisation([outcome(*EARLIER)], 2, 100.0, 200.0) is None
    assert describe_utilisation([outcome(101.0, 2.0)], 1, 100.0, 159.0) is None
