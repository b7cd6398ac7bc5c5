"""Predict the responses of exported models to any number of images.

cortex-sweep predict MODELS --images DIR --out responses.parquet
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.arguments import read_with
from orchestrator.cli.process import FAILED, leave
from orchestrator.cli.trust import TrustCode
from orchestrator.cli.values import non_negative_integer

app: Final = new_app("predict")
SHOWN: Final = 20
"""The most images that can't be read that are printed; the file has them all."""
Gpus = Annotated[
    int | None,
    read_with(non_negative_integer, "N"),
    Parameter(help="GPUs that predict; 0 for CPUs.", show_default="all of the machine or cluster"),
]
Local = Annotated[
    bool,
    Parameter(
        help="Predict in this process, without Ray; the predictions are the same.",
        show_default=False,
    ),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, 1 when images could not be read, 2 for bad input."""
    return run_app(app, arguments)


@app.default
def predict(
    models: Annotated[
        Path,
        Parameter(metavar="MODELS", help="Directory of exported models, or of one of them."),
    ],
    *,
    images: Annotated[
        Path,
        Parameter(
            metavar="DIR",
            help="Folder of images, at any depth, or an ingested subject's directory of shards.",
        ),
    ],
    out: Annotated[
        Path,
        Parameter(metavar="FILE", help="File to write: .parquet, .npy or .nc (NetCDF)."),
    ],
    gpus: Gpus = None,
    local: Local = False,
    trust_code: TrustCode = False,
) -> int:
    """Predict the responses of every exported model to images, in the responses' own units.

    Rows are images in the order of their names, columns are the vertices of the models. An image
    that can't be read is predicted as NaN, is listed in FILE.unreadable.txt, and makes the exit
    code 1. The same command resumes an interrupted one.

    Images are decoded on all CPUs, and predicted on all GPUs, of this machine or of the Ray
    cluster that RAY_ADDRESS names. Without a cluster, fewer than 2,000 images are predicted in this
    process.
    """
    from rich.console import Console

    from orchestrator.predict.run import PredictSettings, unreadable_file
    from orchestrator.predict.run import predict as run_predict

    settings = PredictSettings(models, images, out, local, gpus, trust_code)
    problems = run_predict(settings, Console())
    if not problems:
        return 0
    _report_unreadable(list(problems.values()), unreadable_file(out))
    return FAILED


def _report_unreadable(lines: Sequence[str], file: Path) -> None:
    """Print the first images that can't be read, and the file that lists all."""
    for line in lines[:SHOWN]:
        sys.stderr.write(f"error: {line}\n")
    sys.stderr.write(f"error: {len(lines):,} images could not be read; {file} lists them\n")


if __name__ == "__main__":
    leave(main())
