"""One run of the analyses: due probes, tables, and the closing summary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from orchestrator.analyze.analysis import (
    Analysis,
    Inputs,
    Missing,
    _as_json,
)
from orchestrator.analyze.settings import Analysing
from orchestrator.analyze.variance_table import variance_table
from orchestrator.cli.errors import InputError
from orchestrator.cli.strangers import print_strangers
from orchestrator.cli.text import new_table
from orchestrator.cli.trust import require_consent
from orchestrator.cli.values import default_experiment
from orchestrator.scores.display.style import mark_simulated
from trainables.results.run_directory import RunDirectory
from trainables.spec import digest
from trainables.storage.atomic import write_parquet, write_text
from trainables.wording import meant

SOURCES_KEY: Final = b"cortex_sweep.sources"
"""Key of a table's metadata: digest of the files that it depends on."""

TABLES: Final[dict[str, Callable[[pa.Table], Table]]] = {"variance": variance_table}
"""Tables for the terminal, by analysis; they are shown where the analysis is named."""

State = Literal["made", "unchanged", "skipped", "failed"]


@dataclass(frozen=True)
class Done:
    """The result of one analysis."""

    name: str
    state: State
    message: str
    """Rows and file, the reason why it was skipped, or the error."""


def analyse(settings: Analysing, console: Console) -> list[str]:
    """Run the due probes, make the tables, and report on each analysis.

    Returns one line per failure; the other analyses continue. Raises InputError without a sweep.
    """
    runs = settings.runs
    if not runs.path.is_dir():
        raise InputError(f"{runs}: no such directory; give --out the directory of a sweep")
    failures = _probe(settings, console)
    inputs = Inputs(runs, settings.data)
    done = [make(one, inputs) for one in settings.analyses]
    _show(done, runs, console)
    if settings.is_named:
        _show_tables(inputs, done, console)
    print_strangers(runs, console)
    failures += [f"{one.name}: {one.message}" for one in done if one.state == "failed"]
    warning = _log(settings, inputs, done)
    for line in (*failures, *([warning] if warning else [])):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return failures


def _probe(settings: Analysing, console: Console) -> list[str]:
    """Run the probes that the selected analyses need."""
    asked = [one for one in settings.analyses if settings.is_named or not one.on_request]
    kinds = {kind for one in asked for kind in one.probes}
    if not kinds:
        return []
    # Only probes need Ray and torch, whose import takes seconds.
    import torch

    from orchestrator.analyze.probe_actors import due, find_backbones, run_probes, with_weights
    from orchestrator.analyze.probe_layers import check_probe_layers
    from trainables.probes.probe import ProbeContext

    context = ProbeContext(
        settings.runs.resolved(),
        settings.data.resolved(),
        torch.device("cpu"),
        settings.weights and settings.weights.resolve(),
        _task(settings),
        settings.feature_layer,
        settings.saliency_layer,
    )
    backbones = find_backbones(settings.runs)
    jobs = due(backbones, context, sorted(kinds))
    if jobs:
        recorded = [one.model.backbone for one in backbones]
        require_consent(recorded, settings.runs, trust_code=settings.trust_code)
    if jobs and context.task is not None:
        saliency_layer = settings.saliency_layer if "saliency" in kinds else None
        for backbone in sorted({one.model.backbone for one in backbones}, key=str):
            check_probe_layers(backbone, settings.feature_layer, saliency_layer)
    kept, note = with_weights(jobs, settings.runs)
    if note:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    failures = run_probes(kept, context, settings.workers, console)
    settings.runs.fetch()  # other nodes may have written results
    return failures


def _task(settings: Analysing) -> Path | None:
    """Find the task's directory; None where none is ingested."""
    tasks = {path.name: path.resolve() for path in settings.data.tasks()}
    if settings.task is not None and settings.task not in tasks:
        there = ", ".join(tasks) or "none"
        raise InputError(
            f"--task {settings.task}: not in {settings.data.all_tasks}, where there is "
            f"{there}; ingest one by python -m "
            f"orchestrator.ingest task SRC --out {settings.data} --name {settings.task}"
            f"{meant(settings.task, tasks)}"
        )
    return tasks.get(settings.task or next(iter(tasks), ""))


def _show(done: Sequence[Done], runs: RunDirectory, console: Console) -> None:
    table = new_table(f"analyses of {runs}", "")
    for heading in ("analysis  ", "state  ", "rows, or why not"):
        table.add_column(heading, overflow="fold")
    for one in done:
        table.add_row(one.name, one.state, one.message)
    console.print(table)


def _show_tables(inputs: Inputs, done: Sequence[Done], console: Console) -> None:
    """Print the tables of those analyses that have one for the terminal."""
    for one in done:
        if one.name in TABLES and one.state in ("made", "unchanged"):
            shown = TABLES[one.name](inputs.result(one.name))
            console.print(mark_simulated(shown) if inputs.all_scores.is_simulated else shown)


def _log(settings: Analysing, inputs: Inputs, done: Sequence[Done]) -> str | None:
    """Log new tables to MLflow; return a warning where that fails."""
    if not any(one.state == "made" for one in done):
        return None
    from orchestrator.tracking.mlflow_runs import log_analyses  # imports MLflow

    try:
        experiment = settings.experiment or default_experiment(
            inputs.main_dataset, is_simulated=inputs.all_scores.is_simulated
        )
        log_analyses(experiment, settings.runs, made_files(settings.runs, done))
    except Exception as error:  # MLflow's own, and those of whatever store it has
        return f"MLflow does not have the tables ({type(error).__name__}: {error}); run this again"
    return None


def make(analysis: Analysis, inputs: Inputs) -> Done:
    """Make one analysis' table, unless an existing one was made from the same files."""
    path = inputs.result_file(analysis.name)
    try:
        key = digest_sources(analysis, inputs)
        if _made_of(path) == key:
            return _done(analysis, inputs, "unchanged", pq.read_metadata(path).num_rows)
        table = analysis.make(inputs)
    except Missing as missing:
        inputs.runs.remove(path)
        write_text(inputs.runs.missing_file(analysis.name), _as_json(missing))
        return Done(analysis.name, "skipped", str(missing))
    except Exception as error:  # the others must go on, and this one be reported
        message = " ".join(str(error).split()) or type(error).__name__
        return Done(analysis.name, "failed", f"{type(error).__name__}: {message}")
    write_table(path, table, key)
    inputs.runs.remove(inputs.runs.missing_file(analysis.name))
    return _done(analysis, inputs, "made", table.num_rows)


def _done(analysis: Analysis, inputs: Inputs, state: State, n_rows: int) -> Done:
    return Done(analysis.name, state, "; ".join((f"{n_rows:,} rows", *analysis.notes(inputs))))


def is_current(analysis: Analysis, inputs: Inputs) -> bool:
    """Return whether an analysis' table exists and was made from the files as they are."""
    path = inputs.result_file(analysis.name)
    return path.is_file() and _made_of(path) == digest_sources(analysis, inputs)


def digest_sources(analysis: Analysis, inputs: Inputs) -> str:
    """Digest the names, sizes and times of the files that a table depends on, and its version."""
    described = []
    for path in analysis.sources(inputs):
        stat = path.stat()
        inside = path.is_relative_to(inputs.runs.path)
        name = str(path.relative_to(inputs.runs.path) if inside else path)
        described.append([name, stat.st_size, stat.st_mtime_ns])
    return digest([analysis.version, str(analysis.schema), described])


def write_table(path: Path, table: pa.Table, key: str) -> None:
    """Write a table atomically, with the digest of its inputs."""
    metadata = {**(table.schema.metadata or {}), SOURCES_KEY: key.encode()}
    write_parquet(path, table.replace_schema_metadata(metadata))


def _made_of(path: Path) -> str | None:
    """Read the digest of a table's inputs; None where it is absent or damaged."""
    try:
        recorded: bytes | None = (pq.read_schema(path).metadata or {}).get(SOURCES_KEY)
    except (OSError, pa.ArrowInvalid):
        return None
    return None if recorded is None else recorded.decode()


def made_files(runs: RunDirectory, done: Sequence[Done]) -> list[Path]:
    """List the existing tables."""
    return [runs.analysis_file(one.name) for one in done if one.state in ("made", "unchanged")]
