"""Run a query of a sweep's scores: tables on the terminal, rows in a file."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from rich.console import Console, RenderableType

from orchestrator.cli.errors import InputError
from orchestrator.scores.comparison import Places, compute_statistics, difference_rows
from orchestrator.scores.display.score_tables import (
    OPTIMISTIC,
    comparison_table,
    layer_table,
    summary_table,
    unpaired,
)
from orchestrator.scores.display.statistics_tables import gap_table
from orchestrator.scores.display.transfer_tables import transfer_tables
from orchestrator.scores.export import check_export, export_vertices, write_rows
from orchestrator.scores.filters import (
    keep_subjects,
    keep_trials,
    keep_values,
    one_model_per_roi,
    one_trial_per_roi,
    started_in,
)
from orchestrator.scores.overlap_notes import overlap_notes
from orchestrator.scores.rows import By, method_order
from orchestrator.scores.score_table import ScoreTable, read_score_table
from orchestrator.scores.statistics.image_bootstrap import ImageBootstrap
from orchestrator.scores.statistics.image_tests import ImageTests
from orchestrator.scores.statistics.protocol_gap import protocol_gaps
from orchestrator.scores.statistics.summaries import choose_layers, compare_all, summarise
from orchestrator.scores.statistics.transfers import transfers
from orchestrator.scores.statistics.vertex_pairs import Bootstrap, pair
from orchestrator.scores.tidy_export import tidy_rows
from trainables.data.data_directory import DataDirectory
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.strangers import describe_strangers
from trainables.wording import meant


@dataclass(frozen=True)
class ScoreQuery:
    """A query of the scores."""

    runs: RunDirectory
    data: DataDirectory
    by: By | Literal["layer", "model"]
    compare: tuple[str, ...] | None
    """Two methods; none: every method against untuned; None: no comparison."""
    protocols: tuple[str, ...]
    """One, or two to show side by side."""
    draws: int | None
    """Bootstrap draws of the test images; None: no statistics."""
    trials: tuple[str, ...]
    subjects: tuple[int, ...] | None
    hemispheres: tuple[str, ...] | None
    rois: tuple[str, ...] | None
    export: Path | None
    rows: Literal["rois", "vertices", "differences"]


@dataclass(frozen=True)
class _QueryResult:
    """Tables, the notes under them, and the vertices that were tested."""

    tables: Sequence[RenderableType]
    notes: Sequence[str] = ()
    tests: Sequence[ImageTests] = field(default=())


def run_query(query: ScoreQuery, console: Console | None = None) -> None:
    """Print the result of a query, and write the rows that it exports.

    Raises InputError (or ValueError) when the scores can't be read or none is left.
    """
    console = console or Console()
    if query.export is not None:
        check_export(query.export)  # before minutes of reading, not after
    table = read_score_table(query.runs)
    left_out = describe_strangers((*query.runs.strangers(), *table.strangers))
    table = _restrict(table, query)
    kept, notes = one_trial_per_roi(table, started_in(query.runs))
    result = _result_of(kept, query)
    for one in result.tables:
        console.print(one)
    for line in (*result.notes, *overlap_notes(_shown(kept, query)), *notes):
        console.print(line, highlight=False, markup=False)
    if left_out:
        console.print(left_out, highlight=False, markup=False, soft_wrap=True)
    for protocol in query.protocols:
        if protocol in OPTIMISTIC:
            console.print(OPTIMISTIC[protocol], highlight=False)
    if query.export is not None:
        n_rows = _export(kept, result, query, query.export)
        console.print(f"{n_rows:,} rows written to {query.export}", highlight=False)


def _restrict(table: ScoreTable, query: ScoreQuery) -> ScoreTable:
    for protocol in query.protocols:
        keep_values(table, "protocol", "protocol", (protocol,))  # refuses one without scores
    table = keep_values(table, "protocol", "protocol", query.protocols)
    if query.trials:
        table = keep_trials(table, query.trials)
    if query.subjects is not None:
        table = keep_subjects(table, query.subjects)
    if query.hemispheres is not None:
        table = keep_values(table, "hemispheres", "hemisphere", query.hemispheres)
    if query.rois is not None:
        table = keep_values(table, "rois", "roi", query.rois)
    return table


def _result_of(table: ScoreTable, query: ScoreQuery) -> _QueryResult:
    by, protocols = query.by, query.protocols
    if by == "model":
        return _by_model(table, protocols[0])
    table, notes = one_model_per_roi(table)
    if table.segments.empty:
        raise InputError(*notes)
    if by == "layer":
        choices = choose_layers(table.vertices, table.at_layers())
        return _QueryResult([layer_table(choices, protocols[0])], notes)
    if query.compare is not None:
        found = _compared(table, query, query.compare, by)
    elif len(protocols) == 2:
        found = _side_by_side(table, protocols, by)
    else:
        found = _QueryResult([summary_table(summarise(table.vertices, by), by, protocols[0])])
    return replace(found, notes=[*found.notes, *notes])


def _shown(table: ScoreTable, query: ScoreQuery) -> ScoreTable:
    """Keep the scores that a query's tables are computed from."""
    if query.compare:
        return table.keep("method", query.compare)
    return table if query.by == "model" else one_model_per_roi(table)[0]


def _by_model(table: ScoreTable, protocol: str) -> _QueryResult:
    found = transfers(table)
    if not found:
        raise InputError(
            "--by model: no scores of an evaluation; run python -m "
            "orchestrator.evaluate transfer --out RUNS"
        )
    return _QueryResult(transfer_tables(found, protocol))


def _side_by_side(table: ScoreTable, protocols: tuple[str, ...], by: By) -> _QueryResult:
    first, second = protocols
    gaps = protocol_gaps(table.vertices, (first, second), by)
    if not gaps:
        raise InputError(f"--protocol {first},{second}: no trial was scored under both")
    return _QueryResult([gap_table(gaps, by, (first, second))])


def _compared(table: ScoreTable, query: ScoreQuery, asked: Sequence[str], by: By) -> _QueryResult:
    bootstrap = Bootstrap()
    methods = _methods(table, asked)
    pairs = [pair(table.vertices, a, b) for a, b in methods]
    compared = compare_all(pairs, by, bootstrap)
    notes = [line for line in map(unpaired, pairs) if line]
    if not compared:
        raise InputError(f"--compare: no vertex has both scores; {'; '.join(notes)}")
    shown = comparison_table(compared, by, query.protocols[0], bootstrap)
    if query.draws is None:
        return _QueryResult([shown], notes)
    places, images = Places(query.runs, query.data), ImageBootstrap(query.draws)
    more = compute_statistics(table.vertices, methods, by, places, images)
    return _QueryResult([shown, *more.tables], [*notes, *more.notes], more.tests)


def _methods(table: ScoreTable, asked: Sequence[str]) -> list[tuple[str, str]]:
    """List the pairs of methods to compare; raise InputError for one that has no scores."""
    present = method_order(table.present("method"))
    absent = [method for method in asked or ("untuned",) if method not in present]
    if absent:
        raise InputError(
            f"--compare: no scores of {', '.join(absent)}; there are {', '.join(present)}"
            f"{meant(absent[0], present)}"
        )
    if asked:
        return [(asked[0], asked[1])]
    others = [(method, "untuned") for method in present if method != "untuned"]
    if not others:
        raise InputError("--compare: there are scores of untuned only")
    return others


def _export(table: ScoreTable, result: _QueryResult, query: ScoreQuery, path: Path) -> int:
    if query.rows == "vertices":
        return export_vertices(table, path)
    if query.rows == "rois":
        outcome = partial(Outcome.read, query.runs)
        return write_rows(tidy_rows(table, query.data, outcome), path)
    if not result.tests:
        raise InputError("--rows differences: no vertex could be tested over test images")
    return write_rows(difference_rows(result.tests), path)
