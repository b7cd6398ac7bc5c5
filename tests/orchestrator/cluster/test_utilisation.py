"""What a sweep says of its groups' time."""

import pytest

from orchestrator.cluster.utilisation import describe_utilisation
from trainables.results.outcome import Outcome
from trainables.spec import Roi, Trial, Untuned

TRIAL = Trial(Untuned(), (Roi("nsd", "subj01", "lh", "V1v", 1, "none"),))


def outcome(started: float, seconds: float) -> Outcome:
    return Outcome(TRIAL, "finished", "host", "cpu", started, {"reading": 1.0, "x": seconds - 1})


@pytest.mark.parametrize(
    ("n_worker_groups", "message"),
    [
        (1, "1 at a time for 2 min: 60% of it was work, 20% starting, 20% waiting"),
        (2, "2 at a time for 2 min: 30% of it was work, 20% starting, 50% waiting"),
    ],
)
def test_times_of_this_run_alone_are_shared_out(n_worker_groups: int, message: str) -> None:
    outcomes = [outcome(120.0, 30.0), outcome(160.0, 30.0), outcome(50.0, 40.0)]
    assert describe_utilisation(outcomes, n_worker_groups, 100.0, 200.0) == message


def test_nothing_is_said_without_a_trial() -> None:
    assert describe_utilisation([], 2, 100.0, 200.0) is None
    assert describe_utilisation([outcome(50.0, 40.0)], 2, 100.0, 200.0) is None
