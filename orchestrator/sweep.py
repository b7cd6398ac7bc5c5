"""Run a search space: plan, train and encode on warm workers, track.

python -m orchestrator.sweep                                   the demonstration
python -m orchestrator.sweep paper --data DATA --out RUNS      the paper's main experiment
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from orchestrator.command import InputError, positive_integer, run, subjects_argument

if TYPE_CHECKING:
    from orchestrator.cost import Costs
    from orchestrator.display import Display
    from orchestrator.plan import Plan
    from orchestrator.tracking import Tracker
    from trainables.spec import Trial

DEMO: Final = Path("demo")
FAILED: Final = 1
DESCRIPTION: Final = """\
Run every trial of a search space that is not done yet. The same command goes on where it was
stopped: finished trials are skipped, a half-trained one resumes at its checkpoint. Without
arguments: the demonstration on simulated data, which is made if absent.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when trials failed, 2 for bad input, 130 on Ctrl-C."""
    options = _parser().parse_args(arguments)
    failures: list[str] = []
    code = run(lambda: failures.extend(sweep(_settings(options))))
    return code or (FAILED if failures else 0)


@dataclass(frozen=True)
class SweepSettings:
    """One sweep as it was asked for."""

    space: str
    data: Path
    out: Path
    weights: Path | None
    experiment: str | None
    subjects: tuple[int, ...] | None
    hemispheres: tuple[str, ...]
    rois: tuple[str, ...] | None
    cpus_per_trial: int
    gpus_per_trial: float | None
    max_concurrent: int | None
    retries: int
    keep_every_epoch: bool
    dry_run: bool


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.sweep",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "space",
        nargs="?",
        default="demo",
        metavar="SPACE",
        help="a name in search_spaces/, or a .py file with trials(cells) (default: demo)",
    )
    parser.add_argument("--data", type=Path, metavar="DATA", help="ingested shards (default: data)")
    parser.add_argument(
        "--out", type=Path, metavar="RUNS", help="scores, checkpoints and logs (default: runs)"
    )
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help="a state dict for every trunk to start from"
    )
    parser.add_argument(
        "--experiment", metavar="NAME", help="MLflow experiment (default: the data set's name)"
    )
    _add_cells(parser)
    _add_resources(parser)
    return parser


def _add_cells(parser: argparse.ArgumentParser) -> None:
    cells = parser.add_argument_group("which cells (default: all that the space takes)")
    cells.add_argument(
        "--subjects", type=subjects_argument, metavar="LIST", help="numbers such as 1,5-8"
    )
    cells.add_argument("--hemispheres", default="lh,rh", metavar="LIST", help="lh, rh or lh,rh")
    cells.add_argument(
        "--rois", metavar="LIST", help="groups early, higher, streams, and ROIs such as V1v,EBA"
    )


def _add_resources(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_argument_group("how it runs (none of these changes a result)")
    parts.add_argument(
        "--workers-per-trial",
        type=positive_integer,
        default=1,
        metavar="N",
        help="Ray Train workers that share one trial; this version runs 1",
    )
    parts.add_argument(
        "--cpus-per-trial",
        type=positive_integer,
        default=1,
        metavar="N",
        help="CPUs of a worker, and its threads: another number may round sums otherwise (1)",
    )
    parts.add_argument(
        "--gpus-per-trial",
        type=_share_of_gpus,
        metavar="X",
        help="GPUs of a worker, also 0.5 (default: 1 where the cluster has any, else 0)",
    )
    parts.add_argument(
        "--max-concurrent",
        type=positive_integer,
        metavar="N",
        help="trials at once (default: as many as the cluster holds)",
    )
    parts.add_argument(
        "--retries", type=int, default=1, metavar="N", help="further tries of a failed trial (1)"
    )
    parts.add_argument(
        "--keep-every-epoch", action="store_true", help="keep each epoch's weights, not last, best"
    )
    parts.add_argument("--dry-run", action="store_true", help="print the plan and leave")


def _share_of_gpus(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not (0 <= share <= 1 or (share > 1 and share.is_integer())):
        raise argparse.ArgumentTypeError(f"{text!r}: expected 0, a share below 1, or whole GPUs")
    return share


def _settings(options: argparse.Namespace) -> SweepSettings:
    from orchestrator.plan import parse_rois
    from trainables.rois import HEMISPHERES

    if options.workers_per_trial != 1:
        raise InputError(
            f"--workers-per-trial {options.workers_per_trial}: a trial runs on 1 worker in this "
            "version; more trials at once use more GPUs (--max-concurrent)"
        )
    if options.retries < 0:
        raise InputError(f"--retries {options.retries}: expected 0 or more")
    hemispheres = tuple(part.strip() for part in options.hemispheres.split(","))
    if not set(hemispheres) <= set(HEMISPHERES):
        raise InputError(f"--hemispheres {options.hemispheres!r}: expected lh, rh or lh,rh")
    demo = options.space == "demo" and options.data is None
    return SweepSettings(
        space=options.space,
        data=options.data or (DEMO / "data" if demo else Path("data")),
        out=options.out or (DEMO / "runs" if demo else Path("runs")),
        weights=options.weights or (DEMO / "weights.safetensors" if demo else None),
        experiment=options.experiment or ("nsd-simulated" if demo else None),
        subjects=options.subjects,
        hemispheres=hemispheres,
        rois=None if options.rois is None else parse_rois(options.rois),
        cpus_per_trial=options.cpus_per_trial,
        gpus_per_trial=options.gpus_per_trial,
        max_concurrent=options.max_concurrent,
        retries=options.retries,
        keep_every_epoch=options.keep_every_epoch,
        dry_run=options.dry_run,
    )


def sweep(settings: SweepSettings) -> list[str]:
    """Plan and run a sweep; return the ids of the trials that failed.

    Raises InputError (or ValueError) when the input can't be used, before anything is run.
    """
    from rich.console import Console

    from orchestrator.cost import Costs
    from orchestrator.plan import load_space, make_plan

    console = Console()
    space = load_space(settings.space)
    if settings.space == "demo" and settings.data == DEMO / "data":
        from orchestrator.demo import prepare_demo

        prepare_demo(DEMO, console)
    trials = _trials(settings, space)
    costs = Costs.read(
        settings.data, gpus=bool(settings.gpus_per_trial), threads=settings.cpus_per_trial
    )
    costs = costs.calibrated(_outcomes(settings.out, trials))
    plan = make_plan(trials, settings.out, costs)
    if settings.dry_run:
        from orchestrator.dry_run import show_plan

        show_plan(plan, costs, settings.max_concurrent, console)
        return []
    return _run(settings, plan, costs, console)


def _trials(settings: SweepSettings, space: Any) -> "list[Trial]":
    from orchestrator.plan import Selection, expand, select
    from trainables.shards import list_cells
    from trainables.trunks import layer_extractor, load, weights_name

    selection = Selection(settings.subjects, settings.hemispheres, settings.rois)
    cells = select(list_cells(settings.data), selection)
    weights = None
    if settings.weights is not None:
        if not settings.weights.is_file():
            raise InputError(f"{settings.weights}: no such file; give --weights a state dict")
        weights = weights_name(settings.weights)
    trials = expand(space, cells, weights)
    # Weights that don't fit and layers that don't exist are told now, not by every worker.
    for trunk in {trial.trunk for trial in trials}:
        network = load(trunk, settings.weights)
        for layers in {trial.encoding.layers for trial in trials if trial.trunk == trunk}:
            layer_extractor(network, layers)
    return trials


def _outcomes(runs: Path, trials: "Sequence[Trial]") -> list[Any]:
    from trainables.outcome import Outcome

    found = (Outcome.read(runs, trial.id) for trial in trials)
    return [outcome for outcome in found if outcome is not None]


def _run(settings: SweepSettings, plan: "Plan", costs: "Costs", console: Any) -> list[str]:
    from orchestrator.plan import fingerprint
    from orchestrator.tracking import Sweep, start_tracker

    settings.out.mkdir(parents=True, exist_ok=True)
    dataset = plan.trials[0].cells[0].dataset
    identity = Sweep(
        settings.experiment or dataset,
        Path(settings.space).stem,
        settings.data,
        settings.out,
        fingerprint(settings.data),
    )
    warnings: list[str] = []
    tracker = start_tracker(identity, warnings.append)
    tracker.due([outcome.trial.id for outcome in _outcomes(settings.out, plan.trials)])
    console.print(
        f"{len(plan.trials)} trials: {plan.n_done} done, {len(plan.waiting)} to run",
        highlight=False,
    )
    failures: Mapping[str, str] = {}
    complete = False
    try:
        if plan.waiting:
            failures = _run_waiting(settings, plan, costs, tracker, console)
        complete = not failures
    finally:
        unlogged = tracker.close(complete=complete)
        _conclude(settings, identity.experiment, failures, (unlogged, warnings), console)
    return list(failures)


def _run_waiting(
    settings: SweepSettings, plan: "Plan", costs: "Costs", tracker: "Tracker", console: Any
) -> Mapping[str, str]:
    import ray

    from orchestrator.cluster import connect
    from orchestrator.pool import GroupSize, warm_groups
    from orchestrator.schedule import Schedule, run_jobs
    from orchestrator.trial_queue import Job, start_queue
    from trainables.trial import TrialRunner, Workplace

    dashboard = connect(local_cpus(), include_dashboard=True)
    console.print(f"Ray dashboard: {dashboard or 'none'}", highlight=False)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = settings.gpus_per_trial
    size = GroupSize(
        settings.cpus_per_trial, min(1.0, resources.get("GPU", 0.0)) if gpus is None else gpus
    )
    n_groups = min(size.fits(resources), settings.max_concurrent or 10**6, len(plan.waiting))
    if n_groups == 0:
        raise InputError(size.missing(resources))
    workplace = Workplace(
        settings.data.resolve(),
        settings.out.resolve(),
        settings.weights and settings.weights.resolve(),
        threads=settings.cpus_per_trial,
        keep_every_epoch=settings.keep_every_epoch,
    )
    scratch = settings.out.resolve() / "ray"
    queue = start_queue(settings.retries)
    jobs = [Job(trial.id, trial.to_json(), trial.shard) for trial in plan.waiting]
    schedule = Schedule(2 * n_groups, settings.retries, scratch)
    display = _display(plan, costs, settings.out, queue, console)
    watcher = _Watcher(display, tracker, {t.id: t for t in plan.waiting}, settings.out)
    with display, warm_groups(queue, partial(TrialRunner, workplace), size, n_groups, scratch):
        run_jobs(jobs, queue, schedule, watcher)
    return display.failures


def local_cpus() -> int:
    """Count the CPUs of a local Ray: this machine's, and one more for Ray Data's reading."""
    return len(os.sched_getaffinity(0)) + 1


def _display(plan: "Plan", costs: "Costs", runs: Path, queue: Any, console: Any) -> "Display":
    import ray

    from orchestrator.display import Display
    from trainables.scores import read_scores, summarise

    def score(trial_id: str) -> float | None:
        summary = summarise(read_scores(runs, trial_id))
        means = [value for name, value in sorted(summary.items()) if name.endswith("_r_mean")]
        return means[0] if means else None

    return Display(
        console,
        costs={trial.id: costs.estimate(trial).seconds for trial in plan.waiting},
        epochs={trial.id: getattr(trial.objective, "epochs", 0) for trial in plan.waiting},
        progress=lambda: ray.get(queue.running.remote(), timeout=5),
        score=score,
    )


@dataclass(frozen=True)
class _Watcher:
    """Pass on what happens to the terminal and to MLflow, and write failures down."""

    display: "Display"
    tracker: "Tracker"
    trials: "Mapping[str, Trial]"
    runs: Path

    def finished(self, trial_id: str) -> None:
        self.display.finished(trial_id)
        self.tracker.due([trial_id])

    def failed(self, trial_id: str, error: str) -> None:
        from trainables.trial import failed

        failed(self.trials[trial_id], error, host="", device="").write(self.runs)
        self.display.failed(trial_id, error)
        self.tracker.due([trial_id])


def _conclude(
    settings: SweepSettings,
    experiment: str,
    failures: Mapping[str, str],
    tracking: tuple[Sequence[str], Sequence[str]],
    console: Any,
) -> None:
    """Say where the results lie, what MLflow has not got, and what failed and why."""
    from orchestrator.tracking import tracking_uri

    unlogged, warnings = tracking
    console.print(f"scores: {settings.out / 'scores'}  checkpoints: {settings.out / 'checkpoints'}")
    console.print(f"MLflow: {tracking_uri()}, experiment {experiment}", highlight=False)
    if unlogged:
        console.print(
            f"{warnings[-1]}\n{len(unlogged)} trials are not in MLflow yet; nothing is lost: "
            "run the same command again when it is back",
            highlight=False,
        )
    if failures:
        console.print(f"{len(failures)} trials failed; the same command tries them again:")
        for trial_id, error in failures.items():
            console.print(f"  {trial_id}: {error}", highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
