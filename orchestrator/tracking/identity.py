"""What a sweep is to MLflow: its experiment, and the key by which its run is found again."""

from dataclasses import dataclass

from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import digest


@dataclass(frozen=True)
class Sweep:
    """The content of the parent run, and where its trials' or evaluations' files are."""

    experiment: str
    space: str
    data: DataDirectory
    runs: RunDirectory
    fingerprint: str
    command: str = "sweep"
    """``sweep``, or ``evaluate``, for which ``space`` is the kind of evaluation."""
    hyperparameters: str | None = None
    """Digest of the hyperparameter file that the trials use, if one was given."""

    @property
    def key(self) -> str:
        """Identify this sweep: the same space on the same directory continues the same run."""
        named = [self.space] if self.command == "sweep" else [self.command, self.space]
        of_file = [self.hyperparameters] if self.hyperparameters else []
        return digest([*named, self.runs.resolved().address, *of_file])
