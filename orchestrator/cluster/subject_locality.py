"""The subjects that each worker group has in memory, and the choice of a group's next job."""

from collections import Counter
from collections.abc import Sequence

from orchestrator.cluster.jobs import Job


class SubjectLocality:
    """Tracks the shards that each worker group has in memory, inferred from its jobs."""

    def __init__(self) -> None:
        self._cached: dict[str, tuple[str, ...]] = {}
        self._n_groups = Counter[str]()
        """Number of groups that have a shard in memory."""

    def choose(self, group: str, jobs: Sequence[Job]) -> Job:
        """Choose a group's next job, and record the subjects that it will then have in memory.

        Jobs of subjects that the group has in memory come first, then those of subjects that the
        fewest groups have. Among equals, the first job in the list is chosen.
        """
        cached = self._cached.get(group, ())

        def rank(job: Job) -> tuple[float, int]:
            n_elsewhere = max(self._n_groups[shard] for shard in job.shards)
            return _cached_share(job, cached), -n_elsewhere

        job = max(jobs, key=rank)
        still = _still_cached(cached, job.shards)
        if still != cached:
            self._n_groups.subtract(cached)
            self._n_groups.update(still)
            self._cached[group] = still
        return job


def _cached_share(job: Job, cached: tuple[str, ...]) -> float:
    return len(set(job.shards) & set(cached)) / len(job.shards)


def _still_cached(cached: tuple[str, ...], shards: tuple[str, ...]) -> tuple[str, ...]:
    """Return a group's shards after a job: unchanged if nothing was read, else the job's."""
    return cached if set(shards) <= set(cached) else shards
