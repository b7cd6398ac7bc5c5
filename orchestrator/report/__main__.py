"""Write the results of a sweep as one page, to send to a colleague.

cortex-sweep report --out RUNS                                     writes RUNS/report.html
cortex-sweep report --out RUNS --protocol paper --page paper.html  the scores of one protocol
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.arguments import File, RunsDirectory, ShardsDirectory, find_places
from orchestrator.cli.process import leave
from trainables.results.run_directory import RunDirectory
from trainables.spec import Protocol

app: Final = new_app("report")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    return run_app(app, arguments)


@app.default
def report(
    *,
    out: RunsDirectory | None = None,
    data: ShardsDirectory | None = None,
    page: Annotated[
        File | None, Parameter(help="File to write.", show_default="RUNS/report.html")
    ] = None,
    protocol: Annotated[
        Protocol | None,
        Parameter(
            help="Protocol whose scores the page shows.",
            show_default="all in the headline, in figures the first of nested, clean, paper",
        ),
    ] = None,
    mesh: Annotated[
        Literal["fsaverage5", "fsaverage6", "fsaverage"],
        Parameter(
            help="Mesh of cortical maps. nilearn includes fsaverage5 and downloads the others once."
        ),
    ] = "fsaverage5",
) -> None:
    """Write one page about a sweep, which opens from disk without a server or a network.

    It shows what was run, the headline with intervals, and one section per analysis with figures, a
    sentence and a table. Where a result is missing, the page names the command that makes it. Run
    `cortex-sweep analyze` first.
    """
    from rich.console import Console

    from orchestrator.analyze.analysis import Inputs
    from orchestrator.cli.strangers import print_strangers
    from orchestrator.report.page import size_in_megabytes, write_report

    places = find_places(out, data)
    inputs = Inputs(places.runs, places.data, protocol)
    written = write_report(inputs, page or places.runs.report, mesh)
    sys.stdout.write(f"report: {written} ({size_in_megabytes(written):.2f} MB)\n")
    print_strangers(places.runs, Console())
    if places.runs.identity_file.is_file():  # its sweeps are in MLflow
        _log(places.runs, written)


def _log(runs: RunDirectory, page: Path) -> None:
    """Log the page to MLflow; print where it is, or why it isn't there."""
    from orchestrator.tracking.report_artifact import log_report

    try:
        n_runs = log_report(runs, page)
    except Exception as error:  # MLflow's own, and those of whatever store it has
        why = " ".join(str(error).split()) or type(error).__name__
        sys.stdout.write(f"MLflow does not have the report ({why}); run this again\n")
        return
    if n_runs:
        runs_of = "the run" if n_runs == 1 else f"the {n_runs} runs"
        sys.stdout.write(f"MLflow has it too, as an artifact of {runs_of} of the sweep\n")


if __name__ == "__main__":
    leave(main())
