"""Ask a sweep's scores: a table of them, methods compared, rows exported.

python -m orchestrator.scores                                     mean r by ROI group
python -m orchestrator.scores --by roi --compare contrastive untuned
python -m orchestrator.scores --by cell --export scores.csv
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from orchestrator.command import InputError, run, subjects_argument

if TYPE_CHECKING:
    from orchestrator.grouping import By
    from orchestrator.score_table import ScoreTable

DEFAULT_OUT: Final = (Path("runs"), Path("demo/runs"))
DESCRIPTION: Final = """\
Show the scores of a sweep: Pearson r between predicted and measured responses to held-out images,
averaged over the vertices of a cell, the cells of a subject, then subjects. With --compare, two
methods on the same vertices, with an interval of the difference. docs/scores.md says more.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    options = _parser().parse_args(arguments)
    return run(lambda: show_scores(_question(options)))


@dataclass(frozen=True)
class Question:
    """What is asked of the scores."""

    runs: Path
    by: "By | Literal['layer', 'model']"
    compare: tuple[str, ...] | None
    """Two methods; none: every method against untuned; None: no comparison."""
    protocol: str
    trials: tuple[str, ...]
    subjects: tuple[int, ...] | None
    hemispheres: tuple[str, ...] | None
    rois: tuple[str, ...] | None
    export: Path | None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.scores",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="RUNS",
        help="the sweep's directory (default: runs, or demo/runs where only that exists)",
    )
    parser.add_argument(
        "--by",
        choices=("group", "roi", "subject", "cell", "layer", "model"),
        default="group",
        help="what a row is; layer: which layers the cells chose; model: evaluated models by the "
        "subjects they were tuned on and scored on (default: group)",
    )
    parser.add_argument(
        "--compare",
        nargs="*",
        metavar="METHOD",
        help="two methods, such as contrastive untuned; alone: each method against untuned",
    )
    parser.add_argument(
        "--protocol", default="nested", help="nested, paper or released (default: nested)"
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="write the chosen rows, .parquet or .csv"
    )
    _add_choice(parser)
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    chosen = parser.add_argument_group("which scores (default: all)")
    chosen.add_argument(
        "--subjects", type=subjects_argument, metavar="LIST", help="numbers such as 1,5-8"
    )
    chosen.add_argument("--hemispheres", metavar="LIST", help="lh, rh or lh,rh")
    chosen.add_argument(
        "--rois", metavar="LIST", help="groups early, higher, streams, and ROIs such as V1v,EBA"
    )
    chosen.add_argument(
        "--trial",
        action="append",
        default=[],
        metavar="ID",
        help="a trial's id, its beginning, or a setting's 8 hex digits; repeatable. "
        "Methods of which no trial is named keep all theirs",
    )


def _question(options: argparse.Namespace) -> Question:
    compare = options.compare
    if compare is not None and len(compare) not in (0, 2):
        raise InputError(f"--compare {' '.join(compare)}: expected two methods, or none")
    if compare and compare[0] == compare[1]:
        raise InputError(f"--compare {' '.join(compare)}: expected two different methods")
    if compare is not None and options.by in ("layer", "model"):
        what = "each method's layers" if options.by == "layer" else "each model beside untuned"
        raise InputError(f"--by {options.by} shows {what}; leave --compare away")
    return Question(
        runs=options.out or _default_out(),
        by=options.by,
        compare=None if compare is None else tuple(compare),
        protocol=options.protocol,
        trials=tuple(options.trial),
        subjects=options.subjects,
        hemispheres=options.hemispheres and tuple(options.hemispheres.split(",")),
        rois=None if options.rois is None else _rois(options.rois),
        export=options.export,
    )


def _rois(text: str) -> tuple[str, ...]:
    from orchestrator.plan import parse_rois

    return parse_rois(text)


def _default_out() -> Path:
    return next((path for path in DEFAULT_OUT if path.is_dir()), DEFAULT_OUT[0])


def show_scores(question: Question, console: Any = None) -> None:
    """Print the answer to a question, and write the rows that it asks to export.

    Raises InputError (or ValueError) when the scores can't be read or none is left.
    """
    from rich.console import Console

    from orchestrator.evaluated import seen_notes
    from orchestrator.score_display import OPTIMISTIC
    from orchestrator.score_table import (
        check_export,
        export_rows,
        one_trial_a_cell,
        read_score_table,
        started_in,
    )

    console = console or Console()
    if question.export is not None:
        check_export(question.export)  # before minutes of reading, not after
    table = _restrict(read_score_table(question.runs), question)
    kept, notes = one_trial_a_cell(table, started_in(question.runs))
    tables, told = _tables(kept, question)
    told += seen_notes(_shown(kept, question))
    for one in tables:
        console.print(one)
    for line in (*told, *notes):
        console.print(line, highlight=False, markup=False)
    if question.protocol in OPTIMISTIC:
        console.print(OPTIMISTIC[question.protocol], highlight=False)
    if question.export is not None:
        n_rows = export_rows(kept, question.export)
        console.print(f"{n_rows:,} rows written to {question.export}", highlight=False)


def _restrict(table: "ScoreTable", question: Question) -> "ScoreTable":
    from orchestrator.score_table import keep_subjects, keep_trials, keep_values

    table = keep_values(table, "protocol", "protocol", (question.protocol,))
    if question.trials:
        table = keep_trials(table, question.trials)
    if question.subjects is not None:
        table = keep_subjects(table, question.subjects)
    if question.hemispheres is not None:
        table = keep_values(table, "hemispheres", "hemisphere", question.hemispheres)
    if question.rois is not None:
        table = keep_values(table, "rois", "roi", question.rois)
    return table


def _tables(table: "ScoreTable", question: Question) -> tuple[list[Any], list[str]]:
    """Build the tables of an answer, and the lines that must stand under them."""
    from orchestrator.evaluated import one_model_a_cell
    from orchestrator.score_display import layer_table, summary_table
    from orchestrator.statistics import choose_layers, summarise

    by = question.by
    if by == "model":
        return _transferred(table, question.protocol), []
    table, told = one_model_a_cell(table)
    if by == "layer":
        choices = choose_layers(table.vertices, table.at_layers())
        return [layer_table(choices, question.protocol)], told
    if question.compare is not None:
        tables, unpaired = _compared(table, question.compare, by, question.protocol)
        return tables, [*unpaired, *told]
    if table.vertices.empty:
        raise InputError(*told)
    return [summary_table(summarise(table.vertices, by), by, question.protocol)], told


def _shown(table: "ScoreTable", question: Question) -> "ScoreTable":
    """Keep what a question's tables are made of."""
    from orchestrator.evaluated import one_model_a_cell

    if question.compare:
        return table.where(table.vertices["method"].isin(question.compare))
    return table if question.by == "model" else one_model_a_cell(table)[0]


def _transferred(table: "ScoreTable", protocol: str) -> list[Any]:
    from orchestrator.transfer_display import transfer_tables
    from orchestrator.transfers import transfers

    found = transfers(table)
    if not found:
        raise InputError(
            "--by model: no scores of an evaluation; run python -m orchestrator.evaluate first"
        )
    return transfer_tables(found, protocol)


def _compared(
    table: "ScoreTable", asked: Sequence[str], by: "By", protocol: str
) -> tuple[list[Any], list[str]]:
    from orchestrator.score_display import comparison_table, unpaired
    from orchestrator.statistics import Bootstrap, compare, pair

    bootstrap = Bootstrap()
    pairs = [pair(table.vertices, a, b) for a, b in _methods(table, asked)]
    compared = [one for each in pairs for one in compare(each, by, bootstrap)]
    told = [line for line in map(unpaired, pairs) if line]
    if not compared:
        raise InputError(f"--compare: no vertex has both scores; {'; '.join(told)}")
    return [comparison_table(compared, by, protocol, bootstrap)], told


def _methods(table: "ScoreTable", asked: Sequence[str]) -> list[tuple[str, str]]:
    """List the pairs of methods to compare; raise InputError for one that has no scores."""
    from orchestrator.grouping import method_order

    present = method_order(table.present("method"))
    absent = [method for method in asked or ("untuned",) if method not in present]
    if absent:
        raise InputError(
            f"--compare: no scores of {', '.join(absent)}; there are {', '.join(present)}"
        )
    if asked:
        return [(asked[0], asked[1])]
    others = [(method, "untuned") for method in present if method != "untuned"]
    if not others:
        raise InputError("--compare: there are scores of untuned only")
    return others


if __name__ == "__main__":
    sys.exit(main())
