"""The share of the worker groups' time that was spent on trials."""

from collections.abc import Sequence
from typing import Final

from orchestrator.cli.text import duration
from trainables.results.outcome import Outcome

LEAST_SECONDS: Final = 60.0
"""Shares of less time than this are those of a start, and say nothing."""


def describe_utilisation(
    outcomes: Sequence[Outcome], n_worker_groups: int, began: float, ended: float
) -> str | None:
    """Describe the use of groups between two times, in seconds since 1970.

    outcomes: only trials that began between these times are counted, and only those that say how
    long they took, which a failed one does not. Returns None without such trials, and for less than
    a minute. A group starts until, for the first time, as many trials as groups that have started
    run at once; the rest of its time without a trial is waiting.
    """
    seen = [one for one in outcomes if began <= one.started <= ended]
    lasted = [(one.started, one.started + sum(one.seconds.values())) for one in seen]
    spans = [(start, end) for start, end in lasted if end > start]
    whole = n_worker_groups * (ended - began)
    if not spans or ended - began < LEAST_SECONDS:
        return None
    busy = min(whole, sum(end - start for start, end in spans))
    first = _first_times(spans)[:n_worker_groups]
    starting = min(whole - busy, sum(time - began for time in first))
    waiting = whole - busy - starting
    return (
        f"up to {n_worker_groups} at a time for {duration(ended - began)}: {busy / whole:.0%} of "
        f"the workers' time was trials, {starting / whole:.0%} starting, {waiting / whole:.0%} "
        "waiting"
    )


def _first_times(spans: Sequence[tuple[float, float]]) -> list[float]:
    """List when one span was the first to be open, when two were at once, and so on.

    spans: start and end of each, which ends after it starts.
    """
    opened = sorted(start for start, _ in spans)
    closed = sorted(end for _, end in spans)
    times: list[float] = []
    n_closed = 0
    for n_opened, time in enumerate(opened, 1):
        while closed[n_closed] <= time:
            n_closed += 1
        if n_opened - n_closed > len(times):
            times.append(time)
    return times
