"""Write the results of a sweep as one page, to send to a colleague.

python -m orchestrator.report --out RUNS       writes RUNS/report.html
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cli.arguments import add_data, add_runs, places_of
from orchestrator.cli.process import run

DESCRIPTION = """\
Write a page that opens from disk, without a server or a network: what was run, the headline with
intervals, and one section per analysis with figures, a sentence and a table. Where a result is
missing, the page names the command that makes it. Run python -m orchestrator.analyze first.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    options = _parser().parse_args(arguments)
    return run(lambda: _report(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.report",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_runs(parser)
    add_data(parser)
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="where to write (default: RUNS/report.html)"
    )
    parser.add_argument(
        "--mesh",
        choices=("fsaverage5", "fsaverage6", "fsaverage"),
        default="fsaverage5",
        help="mesh of cortical maps; nilearn includes fsaverage5 and downloads the others once "
        "(default: fsaverage5)",
    )
    return parser


def _report(options: argparse.Namespace) -> None:
    from orchestrator.analyze.analysis import Inputs
    from orchestrator.report.page import size_in_megabytes, write_report

    places = places_of(options)
    inputs = Inputs(places.runs, places.data)
    page = write_report(inputs, options.page or places.runs / "report.html", options.mesh)
    sys.stdout.write(f"report: {page} ({size_in_megabytes(page):.1f} MB)\n")


if __name__ == "__main__":
    sys.exit(main())
