"""Write the report of a made-up sweep of eight subjects, with its sections filled, to look at.

python -m benchmarks.made_up_report report.html [--subjects 8] [--rois V1v,EBA]

Nothing in it was measured or simulated by a model: places, scores and probes are invented, and the
page says SIMULATED. It has 312 ROIs, six methods and all transfers between subjects, but nothing of
``variance``, which runs only when it is named.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.made_up_cortex import write_subject
from benchmarks.made_up_probes import write_probes
from benchmarks.made_up_scores import write_sweep
from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import ANALYSES
from orchestrator.analyze.run import Done, make
from orchestrator.report.page import size_in_megabytes, write_report
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import list_rois
from trainables.results.run_directory import RunDirectory


def main() -> None:
    """Write the page, and say what each analysis did."""
    parser = argparse.ArgumentParser(description="Write the report of a made-up sweep.")
    parser.add_argument("page", type=Path)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--rois", default="", help="names of ROIs; none for all")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        names = tuple(filter(None, given.rois.split(",")))
        inputs = write_made_up(Path(home), given.subjects, names)
        for done in analyse(inputs):
            print(f"{done.name:20} {done.state:10} {done.message[:60]}")
        page = write_report(inputs, given.page.resolve())
    print(f"{page}: {size_in_megabytes(page):.1f} MB")


def write_made_up(home: Path, n_subjects: int, names: tuple[str, ...] = ()) -> Inputs:
    """Write data, scores and probes into a directory; names: of ROIs, none for all."""
    inputs = Inputs(RunDirectory(home / "runs"), DataDirectory(home / "data"))
    numbers = range(1, n_subjects + 1)
    subjects = [write_subject(inputs.data.path, number, names) for number in numbers]
    sweep = write_sweep(inputs.runs, list_rois(inputs.data), subjects)
    write_probes(inputs.runs, sweep.trials)
    return inputs


def analyse(inputs: Inputs) -> list[Done]:
    """Make the table of every analysis."""
    return [make(one, inputs) for one in ANALYSES]


if __name__ == "__main__":
    main()
