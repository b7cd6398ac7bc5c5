"""The jobs of the queue by their state: waiting, running in a group, or ended."""

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from operator import itemgetter

from orchestrator.cluster.guesses import Guesses
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
        self._guesses = Guesses()
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

    def ready(self, group: str) -> list[Job]:
        """List, for each set of subjects, the next job whose checkpoint no running job trains.

        The job that was guessed for the group comes first, and those for other groups last.
        """
        return [job for job, _ in self._ranked(group, self._training)]

    def guess(self, group: str, choose: Callable[[list[Job]], Job | None]) -> Job | None:
        """Guess the job that a group runs next, of those that are not guessed for other groups.

        choose: chooses one of some jobs; None of none. The checkpoint that the group trains now
        counts as trained.
        """
        free = {entry.job.training_id} if (entry := self.of_group(group)) else set()
        jobs = [job for job, of_other in self._ranked(group, self._training - free) if not of_other]
        job = choose(jobs)
        self.drop_guess(group)
        if job is not None:
            self._guesses.add(group, job.trial_id)
        return job

    def drop_guess(self, group: str) -> None:
        """Let a job that was guessed for a group count as guessed for none."""
        self._guesses.remove_group(group)

    def _ranked(self, group: str, training: Collection[str]) -> list[tuple[Job, bool]]:
        """List the jobs for a group, and whether each is guessed for another one.

        training: checkpoints whose jobs are left out.
        """
        best: dict[tuple[str, ...], tuple[int, Job]] = {}
        for trial_id, entry in self._waiting.items():
            job, rank = entry.job, self._guesses.rank(trial_id, group)
            is_better = job.shards not in best or rank < best[job.shards][0]
            if is_better and job.training_id not in training:
                best[job.shards] = rank, job
        return [(job, rank > 1) for rank, job in sorted(best.values(), key=itemgetter(0))]

    def start(self, job: Job, group: str) -> QueueEntry:
        """Give a waiting job to a group."""
        entry = self._entries[job.trial_id]
        self._stop_waiting(job.trial_id)
        entry.progress.group, entry.progress.stage = group, "starting"
        self._running[group] = entry
        self.drop_guess(group)
        if job.training_id:
            self._training.add(job.training_id)
        return entry

    def put_back(self, entry: QueueEntry) -> None:
        """Take a running job from its group, and let it wait before all others."""
        if entry.progress.group is not None:
            self.drop_guess(entry.progress.group)
        self._leave_group(entry)
        entry.progress.group, entry.progress.stage = None, "waiting"
        self._waiting[entry.job.trial_id] = entry
        self._waiting.move_to_end(entry.job.trial_id, last=False)

    def end(self, entry: QueueEntry) -> None:
        """Record that a job has ended; it stays in the table until it is removed."""
        entry.ended = True
        self._leave_group(entry)
        self._stop_waiting(entry.job.trial_id)
        self._ended[entry.job.trial_id] = entry

    def remove(self, trial_id: str) -> None:
        """Remove a job, whatever its state; do nothing if there is none."""
        entry = self._entries.pop(trial_id, None)
        if entry is not None:
            self._leave_group(entry)
            self._ended.pop(trial_id, None)
            self._stop_waiting(trial_id)

    def pop_ended(self) -> list[QueueEntry]:
        """Remove the jobs that have ended, and return them in the order of their ends."""
        ended = list(self._ended.values())
        for entry in ended:
            self.remove(entry.job.trial_id)
        return ended

    def _stop_waiting(self, trial_id: str) -> None:
        self._waiting.pop(trial_id, None)
        self._guesses.remove_job(trial_id)

    def _leave_group(self, entry: QueueEntry) -> None:
        group = entry.progress.group
        if group is not None and self._running.get(group) is entry:
            del self._running[group]
            self._training.discard(entry.job.training_id)
