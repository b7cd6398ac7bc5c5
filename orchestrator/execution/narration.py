"""The messages of a run on the terminal, before and after its trials."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, RenderableType

from orchestrator.execution.plan import Plan
from orchestrator.tracking.mlflow_store import tracking_uri
from trainables.results.run_directory import RunDirectory
from trainables.spec.evaluation import WorkItem
from trainables.spec.labels import labels_of, printable
from trainables.storage.redaction import redact


def names_of(work_items: Sequence[WorkItem], encoding: str) -> dict[str, str]:
    """Name trials or evaluations for lines, by what differs between them; by their ids.

    encoding: the terminal's. Work items whose names would be alike are named with their ids.
    """
    labels = labels_of(work_items)
    names = {one.id: printable(labels.of_trial(one), encoding) for one in work_items}
    times = Counter(names.values())
    return {key: name if times[name] == 1 else f"{name} {key}" for key, name in names.items()}


@dataclass(frozen=True)
class Narrator:
    """Prints the lines of one run."""

    console: Console
    noun: str
    """What is counted: ``trials`` or ``evaluations``."""

    def say(self, text: str) -> None:
        """Print a line, with secrets redacted."""
        self.console.print(redact(text), highlight=False, markup=False, soft_wrap=True)

    def announce(self, plan: Plan) -> None:
        """Print the number of trials, and the notes of the plan."""
        n_waiting = len(plan.waiting)
        self.say(f"{len(plan.trials)} {self.noun}: {plan.n_done} done, {n_waiting} to run")
        for note in plan.notes:
            self.say(note)

    def show(self, closing: Callable[[], Iterable[RenderableType]]) -> None:
        """Print the closing tables of a run; if they can't be made, say why."""
        try:
            for table in closing():
                self.console.print(table)
        except Exception as error:
            message = " ".join(f"{type(error).__name__}: {error}".split())
            self.say(f"no closing tables ({message})")

    def locate(self, runs: RunDirectory, experiment: str) -> None:
        """Print where the results are."""
        scores, checkpoints = map(runs.address_of, (runs.all_scores, runs.all_checkpoints))
        self.say(f"scores: {scores}   checkpoints: {checkpoints}")
        self.say(f"more tables: python -m orchestrator.scores --out {runs} --help")
        self.say(f"MLflow: {tracking_uri()}, experiment {experiment} (mlflow ui shows it)")

    def list_missing(
        self,
        failures: Mapping[str, str],
        unlogged: Sequence[str],
        warnings: Sequence[str],
        names: Mapping[str, str],
    ) -> None:
        """Print which trials failed and which are missing in MLflow, with the cure.

        names: of trials by id, as in the lines above.
        """
        if unlogged:
            self.say(warnings[-1] if warnings else "MLflow could not be written")
            self.say(
                f"{len(unlogged)} {self.noun} are not in MLflow yet; nothing is lost: "
                "run the same command again when MLflow is back"
            )
        if failures:
            self.say(f"{len(failures)} {self.noun} failed; run the same command to retry them:")
        for trial_id, error in failures.items():
            name = f" ({names[trial_id]})" if trial_id in names else ""
            self.say(f"  {trial_id}{name}: {error}")
