"""The subjects that each worker group has in memory, and the choice of a group's next job."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain

from orchestrator.cluster.jobs import Job


class SubjectLocality:
    """Tracks the shards that each worker group has in memory, inferred from its jobs."""

    def __init__(self) -> None:
        self._cached: dict[str, tuple[str, ...]] = {}

    def choose(self, group: str, jobs: Sequence[Job]) -> Job:
        """Choose a group's next job, and record the subjects that it will then have in memory.

        Jobs of subjects that the group has in memory come first, then those of subjects that the
        fewest groups have. Among equals, the first job in the list is chosen.
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
    """Return a group's shards after a job: unchanged if nothing was read, else the job's."""
    return cached if set(shards) <= set(cached) else shards
