"""Measure what a report of an epoch costs the trial queue, by the number of worker groups.

python -m benchmarks.queue_reports

No Ray is started: the groups, of which half have a job and half wait for one, and a listener for
each job are coroutines of one process.
"""

import asyncio
import time
from typing import Final

from orchestrator.cluster.jobs import END, Job
from orchestrator.cluster.trial_queue import TrialQueue

GROUPS: Final = (8, 64, 256, 512)
REPORTS: Final = 2000


def main() -> None:
    """Print the milliseconds per report for each number of groups."""
    for n in GROUPS:
        print(f"{n:4} groups: {1000 * asyncio.run(measure(n)):.3f} ms per report", flush=True)


async def measure(n_worker_groups: int) -> float:
    """Return the seconds that the queue needs for a report, its listener included."""
    queue = TrialQueue(0, n_worker_groups)
    names = [f"trial-{number}" for number in range(n_worker_groups // 2)]
    for name in names:
        await queue.submit(Job(name, "{}", ("none-subj01",)))
        await queue.take(f"group-{name}")
    idle = [asyncio.create_task(wait(queue, f"idle-{name}")) for name in names]
    n = REPORTS // len(names)
    listeners = [asyncio.create_task(listen(queue, name, n)) for name in names]
    await asyncio.sleep(0)
    start = time.perf_counter()
    for number in range(n):
        for name in names:
            await queue.report(name, {"epoch": number})
            await asyncio.sleep(0)
    await asyncio.gather(*listeners)
    seconds = (time.perf_counter() - start) / (n * len(names))
    await queue.close()
    await asyncio.gather(*idle)
    return seconds


async def wait(queue: TrialQueue, group: str) -> None:
    """Ask for a job again and again, as a worker group does."""
    while await queue.take(group) != END:
        continue


async def listen(queue: TrialQueue, name: str, n: int) -> None:
    """Follow n reports of a job, as a proxy trial does."""
    number = 0
    while number < n:
        if await queue.next_event(name, number) is not None:
            number += 1


if __name__ == "__main__":
    main()
