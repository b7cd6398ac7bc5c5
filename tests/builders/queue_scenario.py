"""A queue in an event loop of its own, its jobs and its events: no Ray is started."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.cluster import trial_queue
from orchestrator.cluster.jobs import Job
from orchestrator.cluster.trial_queue import TrialQueue
from trainables.exceptions import Failure

Scenario = Callable[[TrialQueue], Awaitable[None]]


@pytest.fixture
def short_polls(monkeypatch) -> None:
    monkeypatch.setattr(trial_queue, "POLL_SECONDS", 0.05)


def job(name: str, shard: str = "nsd-subj01") -> Job:
    return Job(name, "{}", (shard,))


def run(scenario: Scenario, retries: int = 1) -> None:
    async def start() -> None:
        await scenario(TrialQueue(retries))

    asyncio.run(start())


class Ends:
    """A watcher that notes how each trial ended: its failure, None if it finished."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Failure | None]] = []

    def finished(self, trial_id: str) -> None:
        self.seen.append((trial_id, None))

    def failed(self, trial_id: str, failure: Failure) -> None:
        self.seen.append((trial_id, failure))


async def events(queue: TrialQueue, trial_id: str, n: int) -> list[dict]:
    return [await queue.next_event(trial_id, number) for number in range(n)]
