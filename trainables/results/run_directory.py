"""Every path of a sweep's directory, which commands call RUNS, and what S3 has of it.

====================================== =========================================================
``trials/ID.json``                     how a trial or evaluation ended
``scores/ID/ROI.parquet``              its scores on an ROI of a subject
``predictions/ID/ROI.parquet``         its predictions of that ROI's test images
``logs/ID.jsonl``                      its events
``checkpoints/TRAINING/``              the weights of a training
``probes/KIND/….parquet``              what a probe of a backbone found
``analyses/NAME.parquet``              the table of an analysis, or ``NAME.missing.json``
``hyperparameter_search/DIGEST/``      what a search ends in; ``checkpoints/`` of its trials
``operation/``                         run locks, and records of the command that runs
``report.html``, ``scratch/``, ``ray/`` the report; what memory can't hold; Ray's bookkeeping
====================================== =========================================================
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from trainables.spec.evaluation import WorkItem
from trainables.storage.stored_directory import StoredDirectory

_PARQUET: Final = "[!.]*.parquet"
"""Tables, without those that are being written."""


class RunDirectory(StoredDirectory):
    """The directory of a sweep: names its files, lists them, and fetches them from S3."""

    def outcome_file(self, trial_id: str) -> Path:
        """Name the file of a trial's outcome."""
        return self.path / "trials" / f"{trial_id}.json"

    def trial_ids(self) -> list[str]:
        """List the trials and evaluations that have an outcome, sorted."""
        return sorted(path.stem for path in (self.path / "trials").glob("[!.]*.json"))

    def log_file(self, trial_id: str) -> Path:
        """Name the file of a trial's events."""
        return self.path / "logs" / f"{trial_id}.jsonl"

    @property
    def all_scores(self) -> Path:
        """Directory of all score files."""
        return self.path / "scores"

    def scores(self, trial_id: str) -> Path:
        """Name the directory of a trial's scores."""
        return self.all_scores / trial_id

    def score_file(self, trial_id: str, roi_id: str) -> Path:
        """Name the file of a trial's scores on an ROI of a subject; it exists when complete."""
        return self.scores(trial_id) / f"{roi_id}.parquet"

    def score_files(self, trial_id: str | None = None) -> list[Path]:
        """List the score files of a trial, or of all, sorted."""
        pattern = f"*/{_PARQUET}" if trial_id is None else f"{trial_id}/{_PARQUET}"
        return sorted(self.all_scores.glob(pattern))

    def has_scores(self, trial_ids: Iterable[str]) -> bool:
        """Tell whether any of these trials has a directory of scores."""
        return any(self.scores(trial_id).is_dir() for trial_id in trial_ids)

    def prediction_file(self, trial_id: str, roi_id: str) -> Path:
        """Name the file of a trial's predictions on an ROI of a subject."""
        return self.path / "predictions" / trial_id / f"{roi_id}.parquet"

    @property
    def all_checkpoints(self) -> Path:
        """Directory of the checkpoints of all trainings that are kept."""
        return self.path / "checkpoints"

    def checkpoints(self, training_id: str, *, of_search: bool = False) -> StoredDirectory:
        """Return the directory of a training's checkpoints.

        of_search: of a search's trial, whose checkpoints are removed when it has ended.
        """
        home = self._searches / "checkpoints" if of_search else self.all_checkpoints
        return StoredDirectory(home / training_id)

    @property
    def _searches(self) -> Path:
        return self.path / "hyperparameter_search"

    def search(self, digest: str) -> StoredDirectory:
        """Return the directory of what a hyperparameter search ends in."""
        return StoredDirectory(self._searches / digest)

    def probe_file(self, kind: str, name: str) -> Path:
        """Name the file of what a kind of probe found."""
        return self.path / "probes" / kind / f"{name}.parquet"

    def probe_files(self, kind: str) -> list[Path]:
        """List the files of a kind of probe, one per backbone, sorted."""
        return sorted((self.path / "probes" / kind).glob(_PARQUET))

    def analysis_file(self, name: str) -> Path:
        """Name the file of an analysis' table."""
        return self.path / "analyses" / f"{name}.parquet"

    def missing_file(self, name: str) -> Path:
        """Name the file that says why an analysis' table could not be made."""
        return self.path / "analyses" / f"{name}.missing.json"

    @property
    def report(self) -> Path:
        """File of the report."""
        return self.path / "report.html"

    @property
    def scratch(self) -> Path:
        """Directory for what memory can't hold."""
        return self.path / "scratch"

    @property
    def ray_storage(self) -> str:
        """Address of Ray's own bookkeeping; beside a directory in S3, so that it is not fetched."""
        path = self.path.resolve()
        beside = path.with_name(f"{path.name}.ray")
        return self.address_of(beside) if self.is_in_s3 else str(path / "ray")

    @property
    def operation(self) -> StoredDirectory:
        """Directory of what is known of the command that runs."""
        return StoredDirectory(self.path / "operation")

    def lock_file(self, number: int) -> Path:
        """Name the file of a run lock by its number."""
        return self.operation.path / f"lock-{number:06}.json"

    def new_lock_file(self, key: str) -> Path:
        """Name the file that a run lock is written to before it takes a number."""
        return self.operation.path / f".lock.{key}"

    def lock_numbers(self) -> list[int]:
        """List the numbers of the run locks that are here, ascending."""
        files = self.operation.path.glob("lock-*.json")
        return sorted(int(file.stem.removeprefix("lock-")) for file in files)

    @property
    def cancel_file(self) -> Path:
        """File that asks the run lock's owner to stop."""
        return self.operation.path / "cancel"

    @property
    def command_file(self) -> Path:
        """File of the command that was started last."""
        return self.operation.path / "command.json"

    @property
    def running_file(self) -> Path:
        """File of what the workers are at."""
        return self.operation.path / "running.json"

    def fetch_trial(self, work_item: WorkItem) -> None:
        """Copy what S3 has of a trial but for its predictions and weights, where it differs.

        Its outcome, scores, log, and the notes beside its checkpoints.
        """
        name = work_item.id
        for path in (self.outcome_file(name), self.scores(name), self.log_file(name)):
            self.fetched(path)
        self.checkpoints(work_item.training_id).fetch()
