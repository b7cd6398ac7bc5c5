"""Which subjects each worker group has in memory, and the job that suits a group best."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from orchestrator.cluster.jobs import Job


class SubjectLocality:
    """The shards that each worker group has in memory, as far as its jobs tell."""

    def __init__(self) -> None:
        self._cached: dict[str, tuple[str, ...]] = {}

    def choose(self, group: str, jobs: Sequence[Job]) -> Job:
        """Choose a group's next job, and note which subjects it will have in memory then.

        Jobs of subjects that the group has in memory go first, then those of subjects that the
        fewest groups have. Of equal ones, the first.
        """
        cached = self._cached.get(group, ())
        elsewhere = Counter(chain.from_iterable(self._cached.values()))

        def rank(job: Job) -> tuple[float, int]:
            n_elsewhere = max(elsewhere[shard] for shard in job.shards)
            return _cached_share(job, cached), -n_elsewhere

        job = max(jobs, key=rank)
        self._cached[group] = _still_cached(cached, job.shards)
        return job


def _cached_share(job: Job, cached: tuple[str, ...]) -> float:
    return len(set(job.shards) & set(cached)) / len(job.shards)


def _still_cached(cached: tuple[str, ...], shards: tuple[str, ...]) -> tuple[str, ...]:
    """Say what a group has after a job: as before when nothing was read, else the job's own."""
    return cached if set(shards) <= set(cached) else shards
