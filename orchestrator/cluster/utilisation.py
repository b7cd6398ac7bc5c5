"""The share of the worker groups' time that was spent on trials."""

from collections.abc import Sequence

from orchestrator.cli.text import duration
from trainables.results.outcome import Outcome


def describe_utilisation(
    outcomes: Sequence[Outcome], n_worker_groups: int, began: float, ended: float
) -> str | None:
    """Describe the use of groups between two times, in seconds since 1970; None without trials.

    outcomes: only trials that began between these times are counted.
    """
    seen = [one for one in outcomes if began <= one.started <= ended]
    whole = n_worker_groups * (ended - began)
    if not seen or whole <= 0:
        return None
    busy = min(whole, sum(sum(one.seconds.values()) for one in seen))
    starting = min(whole - busy, n_worker_groups * (min(one.started for one in seen) - began))
    waiting = whole - busy - starting
    return (
        f"{n_worker_groups} at a time for {duration(ended - began)}: {busy / whole:.0%} of it was "
        f"work, {starting / whole:.0%} starting, {waiting / whole:.0%} waiting"
    )
