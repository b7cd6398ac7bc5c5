"""The jobs that worker groups probably run next, of which no two groups are given the same."""


class Guesses:
    """One guessed job per group at most; a guess is a preference, and reserves nothing."""

    def __init__(self) -> None:
        self._group_of: dict[str, str] = {}
        """By the job's id."""
        self._job_of: dict[str, str] = {}
        """Its id, by group."""

    def add(self, group: str, trial_id: str) -> None:
        """Guess a job for a group, in place of the one before."""
        self.remove_job(trial_id)
        self.remove_group(group)
        self._group_of[trial_id], self._job_of[group] = group, trial_id

    def remove_job(self, trial_id: str) -> None:
        """Remove the guess of a job that no longer waits, if there is one."""
        group = self._group_of.pop(trial_id, None)
        if group is not None:
            del self._job_of[group]

    def remove_group(self, group: str) -> None:
        """Remove the guess for a group, if there is one."""
        trial_id = self._job_of.pop(group, None)
        if trial_id is not None:
            del self._group_of[trial_id]

    def rank(self, trial_id: str, group: str) -> int:
        """Return 0 for a job that was guessed for this group, 2 for another one, 1 for none."""
        guessed = self._group_of.get(trial_id)
        if guessed is None:
            return 1
        return 0 if guessed == group else 2
