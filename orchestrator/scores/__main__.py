"""Ask a sweep's scores: a table of them, methods compared, rows exported.

python -m orchestrator.scores                                     mean r by ROI group
python -m orchestrator.scores --by roi --compare contrastive untuned
python -m orchestrator.scores --by roi --compare contrastive untuned --stats
python -m orchestrator.scores --protocol nested,paper             two protocols and their gap
python -m orchestrator.scores --export scores.csv                 one row per ROI and method
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from orchestrator.cli.arguments import add_data, add_runs, places_of, positive_integer
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import run
from orchestrator.cli.selection import subjects_argument

if TYPE_CHECKING:
    from orchestrator.scores.run import ScoreQuery

DESCRIPTION: Final = """\
Show the scores of a sweep: Pearson r between predicted and measured responses to held-out images,
averaged over the vertices of an ROI, the ROIs of a subject, then subjects. With --compare, two
methods on the same vertices, with an interval of the difference; with --stats, tests over images
and over subjects too, corrected. docs/scores.md says more.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    options = _parser().parse_args(arguments)
    return run(lambda: _show(options))


def _show(options: argparse.Namespace) -> None:
    _check(options)
    from orchestrator.scores.run import run_query

    run_query(_query(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.scores",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_runs(parser)
    parser.add_argument(
        "--by",
        choices=("group", "roi", "subject", "subject-roi", "layer", "model"),
        default="group",
        help="what a row is; layer: which layers the ROIs chose; model: evaluated models by the "
        "subjects they were fine-tuned on and scored on (default: group)",
    )
    parser.add_argument(
        "--compare",
        nargs="*",
        metavar="METHOD",
        help="two methods, such as contrastive untuned; alone: each method against untuned",
    )
    parser.add_argument(
        "--protocol",
        default="nested",
        metavar="LIST",
        help="nested, paper or released; two, such as nested,paper, are shown side by side "
        "(default: nested)",
    )
    _add_statistics(parser)
    _add_export(parser)
    _add_choice(parser)
    return parser


def _add_statistics(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_argument_group("statistics, with --compare")
    parts.add_argument(
        "--stats",
        action="store_true",
        help="also: a bootstrap over test images at every vertex, tests over subjects, and the "
        "share of the explainable variance",
    )
    add_data(parts, "the shards, for responses and noise ceilings")
    parts.add_argument(
        "--draws",
        type=positive_integer,
        default=1000,
        metavar="N",
        help="bootstrap draws of the test images (1000)",
    )


def _add_export(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_argument_group("export")
    parts.add_argument(
        "--export", type=Path, metavar="FILE", help="write what was chosen, .parquet or .csv"
    )
    parts.add_argument(
        "--rows",
        choices=("rois", "vertices", "differences"),
        default="rois",
        help="what a row of FILE is: rois, an ROI and method; vertices, a vertex of one, as in "
        "the score files; differences, a vertex tested by --stats (default: rois)",
    )


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


def _check(options: argparse.Namespace) -> None:
    """Raise InputError for options that contradict one another."""
    compare = options.compare
    if compare is not None and len(compare) not in (0, 2):
        raise InputError(f"--compare {' '.join(compare)}: expected two methods, or none")
    if compare and compare[0] == compare[1]:
        raise InputError(f"--compare {' '.join(compare)}: expected two different methods")
    if compare is not None and options.by in ("layer", "model"):
        what = "each method's layers" if options.by == "layer" else "each model beside untuned"
        raise InputError(f"--by {options.by} shows {what}; leave --compare away")
    if options.stats and compare is None:
        raise InputError("--stats compares methods; give --compare A B, or --compare alone")
    if options.rows == "differences" and not (options.stats and options.export):
        raise InputError("--rows differences: needs --compare, --stats and --export FILE")
    protocols = _parts(options.protocol)
    if len(protocols) > 2 or len(set(protocols)) < len(protocols):
        raise InputError(f"--protocol {options.protocol}: expected one, or two different ones")
    if len(protocols) == 2 and (compare is not None or options.by in ("layer", "model")):
        raise InputError(
            f"--protocol {options.protocol}: two protocols are shown side by side, without "
            "--compare, --by layer or --by model; give one"
        )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


def _query(options: argparse.Namespace) -> "ScoreQuery":
    from orchestrator.cli.selection import parse_rois
    from orchestrator.scores.run import ScoreQuery

    places = places_of(options)
    return ScoreQuery(
        runs=places.runs,
        data=places.data,
        by=options.by,
        compare=None if options.compare is None else tuple(options.compare),
        protocols=_parts(options.protocol),
        draws=options.draws if options.stats else None,
        trials=tuple(options.trial),
        subjects=options.subjects,
        hemispheres=options.hemispheres and _parts(options.hemispheres),
        rois=None if options.rois is None else parse_rois(options.rois),
        export=options.export,
        rows=options.rows,
    )


if __name__ == "__main__":
    sys.exit(main())
