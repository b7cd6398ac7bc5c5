"""The subjects that each worker group has in memory, and the choice of a group's next job."""

from collections import Counter
from collections.abc import Collection, Sequence

from orchestrator.cluster.jobs import Job


class SubjectLocality:
    """Tracks the shards that each worker group has in memory, as the groups report them."""

    def __init__(self) -> None:
        self._held: dict[str, frozenset[str]] = {}
        self._n_groups = Counter[str]()
        """Number of groups that have a shard in memory."""

    def record(self, group: str, shards: Collection[str]) -> None:
        """Record the shards that a group has in memory, in place of those before."""
        held = frozenset(shards)
        before = self._held.get(group, frozenset())
        if held != before:
            self._n_groups.subtract(before)
            self._n_groups.update(held)
            self._held[group] = held

    def choose(self, group: str, jobs: Sequence[Job]) -> Job | None:
        """Choose a group's next job; None if there are no jobs.

        Jobs of subjects that the group has in memory come first, then those of subjects that the
        fewest groups have. Among equals, the first job in the list is chosen.
        """
        held = self._held.get(group, frozenset())

        def rank(job: Job) -> tuple[float, int]:
            n_elsewhere = max(self._n_groups[shard] for shard in job.shards)
            return len(held.intersection(job.shards)) / len(job.shards), -n_elsewhere

        return max(jobs, key=rank, default=None)

    def give(self, group: str, job: Job) -> None:
        """Record that a group reads a job's subjects, beside those that it has in memory."""
        self.record(group, self._held.get(group, frozenset()).union(job.shards))
