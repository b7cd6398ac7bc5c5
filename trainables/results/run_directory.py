"""All paths of a sweep's directory, which commands call RUNS, and fetching them from S3.

====================================== =========================================================
``trials/ID.json``                     how a trial or evaluation ended
``scores/ID/ROI.parquet``              its scores on an ROI of a subject
``predictions/ID/ROI.parquet``         its predictions of that ROI's test images
``logs/ID.jsonl``                      its events
``checkpoints/TRAINING/``              the weights of a training
``probes/KIND/….parquet``              the results of a probe of a backbone
``probes/KIND/….safetensors``          the head that it has fitted
``analyses/NAME.parquet``              the table of an analysis, or ``NAME.missing.json``
``ood/MODEL.parquet``                  the scores of an exported model on NSD-synthetic
``hyperparameter_search/DIGEST/``      the result of a search; ``checkpoints/`` of its trials
``operation/``                         run locks, and records of the running command
``report.html``, ``scratch/``           the report; data too large for memory
====================================== =========================================================
"""

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from trainables.spec.evaluation import WorkItem
from trainables.spec.rois import SIDES
from trainables.storage.stored_directory import StoredDirectory
from trainables.storage.temporary_files import is_temporary

_NAME: Final = r"[A-Za-z0-9][\w.+-]*"
_ID: Final = rf"{_NAME}-[0-9a-f]{{8}}"
"""The ids of trials, evaluations, trainings and probes."""
_ROI: Final = rf"{_NAME}-({'|'.join(SIDES)})-{_NAME}"
_PROBE: Final = r"[^.].*-[0-9a-f]{8}"
"""The id of an untuned backbone has the name of its architecture, which may be any text."""


def _fits(path: Path, pattern: str) -> bool:
    return re.fullmatch(pattern, path.name, re.ASCII) is not None


def _entries(directory: Path) -> list[Path]:
    """List a directory, sorted, without files that are being written; [] where there is none."""
    try:
        return sorted(path for path in directory.iterdir() if not is_temporary(path))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _listed(directory: Path, pattern: str) -> list[Path]:
    """List the entries of a directory whose names this program gives, sorted."""
    return [path for path in _entries(directory) if _fits(path, pattern)]


class RunDirectory(StoredDirectory):
    """The directory of a sweep: names its files, lists them, and fetches them from S3."""

    @property
    def outcomes(self) -> Path:
        """Directory of all outcomes."""
        return self.path / "trials"

    def outcome_file(self, trial_id: str) -> Path:
        """Name the file of a trial's outcome."""
        return self.outcomes / f"{trial_id}.json"

    def trial_ids(self) -> list[str]:
        """List the trials and evaluations that have an outcome, sorted."""
        return [path.stem for path in _listed(self.outcomes, rf"{_ID}\.json")]

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
        directories = _listed(self.all_scores, _ID) if trial_id is None else [self.scores(trial_id)]
        return [path for one in directories for path in _listed(one, rf"{_ROI}\.parquet")]

    def has_scores(self, trial_ids: Iterable[str]) -> bool:
        """Return whether any of these trials has a directory of scores."""
        return any(self.scores(trial_id).is_dir() for trial_id in trial_ids)

    def prediction_file(self, trial_id: str, roi_id: str) -> Path:
        """Name the file of a trial's predictions on an ROI of a subject."""
        return self.path / "predictions" / trial_id / f"{roi_id}.parquet"

    @property
    def all_checkpoints(self) -> Path:
        """Directory of all trainings' checkpoints, except those of searches."""
        return self.path / "checkpoints"

    def checkpoints(self, training_id: str, *, of_search: bool = False) -> StoredDirectory:
        """Return the directory of a training's checkpoints.

        of_search: for a trial of a search, whose checkpoints are removed when it has ended.
        """
        home = self._searches / "checkpoints" if of_search else self.all_checkpoints
        return StoredDirectory(home / training_id)

    @property
    def _searches(self) -> Path:
        return self.path / "hyperparameter_search"

    def search(self, digest: str) -> StoredDirectory:
        """Return the directory of a hyperparameter search's result."""
        return StoredDirectory(self._searches / digest)

    def probe_file(self, kind: str, name: str) -> Path:
        """Name the file of the results of a kind of probe on a backbone."""
        return self.path / "probes" / kind / f"{name}.parquet"

    def probe_files(self, kind: str) -> list[Path]:
        """List the files of a kind of probe, one per backbone, sorted."""
        return _listed(self.path / "probes" / kind, rf"{_PROBE}\.parquet")

    def head_file(self, kind: str, name: str) -> Path:
        """Name the file of the head that a kind of probe has fitted to a backbone."""
        return self.probe_file(kind, name).with_suffix(".safetensors")

    def analysis_file(self, name: str) -> Path:
        """Name the file of an analysis's table."""
        return self.path / "analyses" / f"{name}.parquet"

    def missing_file(self, name: str) -> Path:
        """Name the file that says why an analysis's table could not be made."""
        return self.path / "analyses" / f"{name}.missing.json"

    def ood_file(self, model: str) -> Path:
        """Name the file of an exported model's scores on NSD-synthetic."""
        return self.path / "ood" / f"{model}.parquet"

    def ood_files(self) -> list[Path]:
        """List the files of exported models' scores on NSD-synthetic, sorted."""
        return _listed(self.path / "ood", rf"{_ID}\.parquet")

    @property
    def report(self) -> Path:
        """File of the report."""
        return self.path / "report.html"

    @property
    def scratch(self) -> Path:
        """Directory for data too large for memory."""
        return self.path / "scratch"

    @property
    def operation(self) -> StoredDirectory:
        """Directory of the run locks and of the running command's records."""
        return StoredDirectory(self.path / "operation")

    def lock_file(self, number: int) -> Path:
        """Name the file of a run lock by its number."""
        return self.operation.path / f"lock-{number:06}.json"

    def lock_numbers(self) -> list[int]:
        """List the numbers of the existing run locks, ascending."""
        files = _listed(self.operation.path, r"lock-\d+\.json")
        return sorted(int(file.stem.removeprefix("lock-")) for file in files)

    @property
    def cancel_file(self) -> Path:
        """File that asks the run lock's owner to stop."""
        return self.operation.path / "cancel"

    @property
    def command_file(self) -> Path:
        """File that records the most recently started command."""
        return self.operation.path / "command.json"

    @property
    def history_file(self) -> Path:
        """File of the lines of all commands that ran trials here."""
        return self.operation.path / "commands.json"

    @property
    def identity_file(self) -> Path:
        """File that identifies the directory, also where it was moved or copied."""
        return self.operation.path / "identity.json"

    @property
    def running_file(self) -> Path:
        """File of the work in progress on each worker."""
        return self.operation.path / "running.json"

    def remove_abandoned(self) -> list[Path]:
        """Remove temporary files of killed processes; for S3, in all mirrors here too; list them.

        Scratch files in use have no name, so that everything in their directory is abandoned.
        """
        abandoned = sorted(self.scratch.glob("*"))
        shutil.rmtree(self.scratch, ignore_errors=True)
        return abandoned + self.sweep(skip=("ray",))

    def strangers(self) -> Iterator[Path]:
        """Yield files and directories between the results whose names this program does not give.

        Copies made by people, synchronisation and backup programs, and files of operating systems.
        """
        for directory in (self.all_scores, self.path / "predictions"):
            yield from self._unlike(_ID, directory)
            for one in _listed(directory, _ID):
                yield from self._unlike(rf"{_ROI}\.parquet", one)
        yield from self._unlike(rf"{_ID}\.json", self.outcomes)
        yield from self._unlike(rf"{_ID}\.jsonl", self.path / "logs")
        yield from self._unlike(_ID, self.all_checkpoints)
        for kind in _entries(self.path / "probes"):
            if kind.is_dir():
                yield from self._unlike(rf"{_PROBE}\.(parquet|safetensors)", kind)

    @staticmethod
    def _unlike(pattern: str, directory: Path) -> Iterator[Path]:
        return (path for path in _entries(directory) if not _fits(path, pattern))

    def fetch_trial(self, work_item: WorkItem) -> None:
        """Download a trial's files that differ from S3's, except predictions and weights.

        These are its outcome, scores, log, and the notes of its checkpoints.
        """
        name = work_item.id
        self.fetched(self.outcome_file(name))
        self.fetched(self.log_file(name))
        StoredDirectory(self.scores(name)).fetch_all()
        self.checkpoints(work_item.training_id).fetch()
