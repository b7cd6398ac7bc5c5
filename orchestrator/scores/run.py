"""Run a query of a sweep's scores: tables on the terminal, rows in a file."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

import pyarrow as pa
from rich.console import Console, RenderableType

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import resolve_rois
from orchestrator.scores.comparison import (
    NO_STATISTICS,
    Places,
    compute_statistics,
    difference_rows,
)
from orchestrator.scores.display.interval_notes import describe_missing
from orchestrator.scores.display.score_tables import (
    OPTIMISTIC,
    comparison_table,
    layer_table,
    setting_table,
    summary_table,
    unpaired,
)
from orchestrator.scores.display.statistics_tables import gap_table
from orchestrator.scores.display.style import mark_simulated
from orchestrator.scores.display.transfer_tables import transfer_tables
from orchestrator.scores.export import check_export, export_vertices, write_rows
from orchestrator.scores.filters import (
    keep_subjects,
    keep_trials,
    keep_values,
    of_latest_data,
    one_model_per_roi,
    started_in,
)
from orchestrator.scores.overlap_notes import overlap_notes
from orchestrator.scores.references import UNTUNED, with_references
from orchestrator.scores.rows import By, method_order
from orchestrator.scores.score_table import ScoreTable, read_score_table
from orchestrator.scores.setting_filters import keep_where, pairs_to_compare
from orchestrator.scores.statistics.image_tests import ImageTests
from orchestrator.scores.statistics.measured_differences import (
    NOTHING,
    MeasuredDifferences,
    measure_differences,
)
from orchestrator.scores.statistics.model_differences import measure_trials
from orchestrator.scores.statistics.protocol_gap import protocol_gaps
from orchestrator.scores.statistics.summaries import choose_layers, compare_all, summarise, totals
from orchestrator.scores.statistics.transfers import measure_transfers, transfers
from orchestrator.scores.statistics.vertex_pairs import pair
from orchestrator.scores.table_export import comparison_rows, summary_rows
from orchestrator.scores.tidy_export import tidy_rows
from orchestrator.scores.vertex_layers import BEST_PER_VERTEX, UNPREDICTED, at_best_layers
from trainables.data.data_directory import DataDirectory
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.results.strangers import describe_strangers
from trainables.spec.labels import method_of


@dataclass(frozen=True)
class ScoreQuery:
    """A query of the scores."""

    runs: RunDirectory
    data: DataDirectory
    by: By | Literal["setting", "layer", "model"]
    compare: tuple[str, ...] | None
    """Two methods or settings; none: each one against untuned; None: no comparison."""
    protocols: tuple[str, ...]
    """One, or two to show side by side."""
    layer: Literal["roi", "best-per-vertex"]
    """The layer of each r: its ROI's, or the best of each vertex."""
    stats: bool
    """Whether to test over images and over subjects too."""
    trials: tuple[str, ...]
    where: tuple[str, ...]
    """Values of settings, each ``name=value``."""
    subjects: tuple[int, ...] | None
    hemispheres: tuple[str, ...] | None
    rois: tuple[str, ...] | None
    export: Path | None
    rows: Literal["rois", "table", "vertices", "differences"]

    @property
    def exports_table(self) -> bool:
        """Whether the rows of the table itself are written."""
        return self.export is not None and self.rows == "table"


@dataclass(frozen=True)
class _QueryResult:
    """Tables, the scores in them, the notes under them, and what can be exported of them."""

    tables: Sequence[RenderableType]
    shown: ScoreTable
    notes: Sequence[str] = ()
    tests: Sequence[ImageTests] = field(default=())
    """The vertices that were tested."""
    rows: pa.Table | None = None
    """The rows of the first table."""


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
    kept, notes = of_latest_data(table, started_in(query.runs))
    if query.layer == BEST_PER_VERTEX:
        kept = at_best_layers(kept)
        notes = [*notes, "r of each vertex at the layer of its highest choice score"]
    result = _result_of(kept, query)
    for one in result.tables:
        console.print(mark_simulated(one) if kept.is_simulated else one)
    for line in (*result.notes, *overlap_notes(result.shown), *notes):
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
    if query.where:
        table = keep_where(table, query.where)
    if query.subjects is not None:
        table = keep_subjects(table, query.subjects)
    if query.hemispheres is not None:
        table = keep_values(table, "hemispheres", "hemisphere", query.hemispheres)
    if query.rois is not None:
        rois = resolve_rois(query.rois, table.present("roi"))
        table = keep_values(table, "rois", "roi", rois)
    return table


def _result_of(table: ScoreTable, query: ScoreQuery) -> _QueryResult:
    by, protocols = query.by, query.protocols
    if by == "model":
        return _by_model(table, query)
    table, notes = one_model_per_roi(table)
    if table.segments.empty:
        raise InputError(*notes)
    if by == "layer":
        choices = choose_layers(table.vertices, table.at_layers())
        return _QueryResult([layer_table(choices, protocols[0])], table, notes)
    if query.compare is not None:
        found = _compared(table, query, query.compare, by)
    elif by == "setting":
        found = _by_setting(table, protocols[0])
    elif len(protocols) == 2:
        found = _side_by_side(table, protocols, by)
    else:
        found = _summarised(table, query, by)
    return replace(found, notes=[*found.notes, *notes])


def _summarised(table: ScoreTable, query: ScoreQuery, by: By) -> _QueryResult:
    protocol, measured = query.protocols[0], MeasuredDifferences()
    notes: list[str] = []
    if query.exports_table:  # the terminal has no room for intervals of means
        alone = [(label, NOTHING) for label in table.present("method")]
        measured, notes = _measured(table, query, alone)
        notes += describe_missing(measured)
    rows = summarise(table.over_seeds, by, table.vertices, measured)
    exported = summary_rows(rows, by, protocol, is_simulated=table.is_simulated)
    return _QueryResult([summary_table(rows, by, protocol)], table, notes, rows=exported)


def _by_setting(table: ScoreTable, protocol: str) -> _QueryResult:
    digests = table.segments[["method", "setting"]].drop_duplicates().astype(str)
    by_label = dict(digests.itertuples(index=False, name=None))
    rows = summarise(table.over_seeds, "group", table.vertices)
    return _QueryResult([setting_table(rows, by_label, protocol)], table)


def _by_model(table: ScoreTable, query: ScoreQuery) -> _QueryResult:
    measured = measure_transfers(table, query.runs, query.data)
    found = transfers(table, measured)
    if not found:
        raise InputError(
            "--by model: no scores of an evaluation; run python -m "
            "orchestrator.evaluate transfer --out RUNS"
        )
    tables = transfer_tables(found, query.protocols[0])
    return _QueryResult(tables, table, describe_missing(measured.measured))


def _side_by_side(table: ScoreTable, protocols: tuple[str, ...], by: By) -> _QueryResult:
    first, second = protocols
    gaps = protocol_gaps(table.over_seeds, (first, second), by)
    if not gaps:
        raise InputError(f"--protocol {first},{second}: no trial was scored under both")
    return _QueryResult([gap_table(gaps, by, (first, second))], table)


def _compared(
    table: ScoreTable, query: ScoreQuery, asked: Sequence[str], by: By | Literal["setting"]
) -> _QueryResult:
    labels, notes = _pairs(table, asked)
    level: By = "group" if by == "setting" else by
    pairs = [pair(table.over_seeds, a, b) for a, b in labels]
    measured, unmeasured = _measured(table, query, labels)
    notes += unmeasured
    compared = compare_all(pairs, level, measured)
    notes += [*filter(None, map(unpaired, pairs)), *describe_missing(measured)]
    if not compared:
        raise InputError(f"--compare: no vertex has both scores; {'; '.join(notes)}")
    rows = totals(compared) if by == "setting" else compared
    tables = [comparison_table(rows, level, query.protocols[0])]
    shown = table.keep("method", {label for pair_ in labels for label in pair_})
    more = NO_STATISTICS
    if query.stats:
        more = compute_statistics(shown, labels, level, Places(query.runs, query.data))
    notes += more.notes
    exported = comparison_rows(
        rows, by, query.protocols[0], more.shares, is_simulated=shown.is_simulated
    )
    return _QueryResult([*tables, *more.tables], shown, notes, more.tests, exported)


def _measured(
    table: ScoreTable, query: ScoreQuery, labels: Sequence[tuple[str, str]]
) -> tuple[MeasuredDifferences, list[str]]:
    """Measure what intervals need, or say why there is nothing to measure."""
    if query.layer == BEST_PER_VERTEX:
        return MeasuredDifferences(), [f"no interval: {UNPREDICTED}"]
    return measure_differences(table, labels, query.runs, query.data), []


def _pairs(table: ScoreTable, asked: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """List the pairs of labels to compare, and notes on those without a reference.

    Raises InputError for a side that has no scores.
    """
    if asked:
        return pairs_to_compare(table, asked), []
    present = list(dict.fromkeys(map(method_of, method_order(table.present("method")))))
    if UNTUNED not in present:
        raise InputError(f"--compare: no scores of {UNTUNED}; there are {', '.join(present)}")
    if present == [UNTUNED]:
        raise InputError("--compare: there are scores of untuned only")
    found, notes = with_references(table)
    if not found:
        raise InputError(f"--compare: {'; '.join(notes)}")
    return found, notes


def _export(table: ScoreTable, result: _QueryResult, query: ScoreQuery, path: Path) -> int:
    if query.rows == "vertices":
        return export_vertices(table, path)
    if query.rows == "rois":
        outcome = partial(Outcome.read, query.runs)
        at_roi = query.layer != BEST_PER_VERTEX
        measured = (
            measure_trials(table, query.runs, query.data) if at_roi else MeasuredDifferences()
        )
        return write_rows(tidy_rows(table, query.data, outcome, measured), path)
    if query.rows == "table":
        assert result.rows is not None  # checked by the command
        return write_rows(result.rows, path)
    if not result.tests:
        raise InputError("--rows differences: no vertex could be tested over test images")
    return write_rows(difference_rows(result.tests, table), path)
