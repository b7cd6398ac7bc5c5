"""A queue in an event loop of its own, its jobs and its events: no Ray is started."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from orchestrator.cluster import trial_queue
from orchestrator.cluster.jobs import Job
from orchestrator.cluster.trial_queue import TrialQueue

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


async def events(queue: TrialQueue, trial_id: str, n: int) -> list[dict]:
    return [await queue.next_event(trial_id, number) for number in range(n)]
