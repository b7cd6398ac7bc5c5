"""The jobs of the queue by their state: waiting, running in a group, or ended."""

from collections import OrderedDict
from collections.abc import Iterator

from orchestrator.cluster.jobs import Job, Progress, QueueEntry


class JobTable:
    """Jobs by id, with the indices that keep each look-up short however many groups there are."""

    def __init__(self) -> None:
        self._entries: dict[str, QueueEntry] = {}
        self._waiting: OrderedDict[str, QueueEntry] = OrderedDict()
        """By id, the next one first."""
        self._running: dict[str, QueueEntry] = {}
        """By group."""
        self._training: set[str] = set()
        """Checkpoints that running jobs train."""
        self._ended: dict[str, QueueEntry] = {}
        """By id, in the order in which they ended."""

    def __iter__(self) -> Iterator[QueueEntry]:
        """Iterate over the jobs that there are now, whatever their state."""
        return iter(tuple(self._entries.values()))

    @property
    def waiting(self) -> tuple[QueueEntry, ...]:
        """The waiting jobs, the next one first."""
        return tuple(self._waiting.values())

    @property
    def n_waiting(self) -> int:
        """Count the waiting jobs."""
        return len(self._waiting)

    @property
    def n_running(self) -> int:
        """Count the running jobs."""
        return len(self._running)

    @property
    def running(self) -> tuple[QueueEntry, ...]:
        """The running jobs."""
        return tuple(self._running.values())

    def get(self, trial_id: str) -> QueueEntry | None:
        """Return a job by its id; None if there is none."""
        return self._entries.get(trial_id)

    def of_group(self, group: str) -> QueueEntry | None:
        """Return the job that a group runs; None if it runs none."""
        return self._running.get(group)

    def add(self, job: Job) -> QueueEntry:
        """Add a job behind those that wait; it replaces one of the same id."""
        self.remove(job.trial_id)
        entry = QueueEntry(job, Progress(job.trial_id))
        self._entries[job.trial_id] = entry
        self._waiting[job.trial_id] = entry
        return entry

    def ready(self, free: str = "") -> list[Job]:
        """List, for each set of subjects, the next job whose checkpoint no running job trains.

        free: name of a checkpoint that counts as trained.
        """
        trained = self._training - {free}
        first: dict[tuple[str, ...], Job] = {}
        for entry in self._waiting.values():
            job = entry.job
            if job.shards not in first and job.training_id not in trained:
                first[job.shards] = job
        return list(first.values())

    def start(self, job: Job, group: str) -> QueueEntry:
        """Give a waiting job to a group."""
        entry = self._waiting.pop(job.trial_id)
        entry.progress.group, entry.progress.stage = group, "starting"
        self._running[group] = entry
        if job.training_id:
            self._training.add(job.training_id)
        return entry

    def put_back(self, entry: QueueEntry) -> None:
        """Take a running job from its group, and let it wait before all others."""
        self._leave_group(entry)
        entry.progress.group, entry.progress.stage = None, "waiting"
        self._waiting[entry.job.trial_id] = entry
        self._waiting.move_to_end(entry.job.trial_id, last=False)

    def end(self, entry: QueueEntry) -> None:
        """Record that a job has ended; it stays in the table until it is removed."""
        entry.ended = True
        self._leave_group(entry)
        self._waiting.pop(entry.job.trial_id, None)
        self._ended[entry.job.trial_id] = entry

    def remove(self, trial_id: str) -> None:
        """Remove a job, whatever its state; do nothing if there is none."""
        entry = self._entries.pop(trial_id, None)
        if entry is not None:
            self._leave_group(entry)
            self._ended.pop(trial_id, None)
            self._waiting.pop(trial_id, None)

    def pop_ended(self) -> list[QueueEntry]:
        """Remove the jobs that have ended, and return them in the order of their ends."""
        ended = list(self._ended.values())
        for entry in ended:
            self.remove(entry.job.trial_id)
        return ended

    def _leave_group(self, entry: QueueEntry) -> None:
        group = entry.progress.group
        if group is not None and self._running.get(group) is entry:
            del self._running[group]
            self._training.discard(entry.job.training_id)
