"""What a run says on the terminal before, and after, its trials."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType

from orchestrator.execution.plan import Plan
from orchestrator.tracking.mlflow_store import tracking_uri
from trainables.results.run_directory import RunDirectory
from trainables.storage.redaction import redact


@dataclass(frozen=True)
class Narrator:
    """Prints the lines of one run."""

    console: Console
    noun: str
    """What is counted."""

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def announce(self, plan: Plan) -> None:
        """Say how much there is to do, and what is to be known of it."""
        n_waiting = len(plan.waiting)
        self.say(f"{len(plan.trials)} {self.noun}: {plan.n_done} done, {n_waiting} to run")
        for note in plan.notes:
            self.say(note)

    def show(self, tables: Iterable[RenderableType]) -> None:
        """Print the tables that a run ends with."""
        for table in tables:
            self.console.print(table)

    def locate(self, runs: RunDirectory, experiment: str) -> None:
        """Say where the results are."""
        scores, checkpoints = map(runs.address_of, (runs.all_scores, runs.all_checkpoints))
        self.say(f"scores: {scores}   checkpoints: {checkpoints}")
        self.say(f"more tables: python -m orchestrator.scores --out {runs} --help")
        self.say(f"MLflow: {redact(tracking_uri())}, experiment {experiment} (mlflow ui shows it)")

    def list_missing(
        self, failures: Mapping[str, str], unlogged: Sequence[str], warnings: Sequence[str]
    ) -> None:
        """Say what has failed, and what MLflow has not got, with the cure."""
        if unlogged:
            self.say(warnings[-1] if warnings else "MLflow could not be written")
            self.say(
                f"{len(unlogged)} {self.noun} are not in MLflow yet; nothing is lost: "
                "run the same command again when it is back"
            )
        if failures:
            self.say(f"{len(failures)} {self.noun} failed; the same command tries them again:")
        for trial_id, error in failures.items():
            self.say(f"  {trial_id}: {error}")
