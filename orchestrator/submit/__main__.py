"""Write what a challenge takes as a submission.

cortex-sweep submit algonauts --models MODELS --src SRC --out ZIP
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.process import leave
from orchestrator.cli.selection import Subjects
from orchestrator.cli.trust import TrustCode

app: Final = new_app("submit", "Predict a challenge's test images, and write its submission.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    return run_app(app, arguments)


@app.command
def algonauts(
    *,
    models: Annotated[Path, Parameter(metavar="DIR", help="Directory of exported models.")],
    src: Annotated[Path, Parameter(metavar="SRC", help="Algonauts 2023 folder that was ingested.")],
    out: Annotated[Path, Parameter(metavar="ZIP", help="Submission to write.")],
    subjects: Annotated[
        Subjects | None,
        Parameter(
            show_default="every subject in SRC",
            help="Numbers and ranges such as 1,5-8, or names such as subj01.",
        ),
    ] = None,
    test_responses: Annotated[
        Path | None,
        Parameter(
            metavar="DIR",
            help="Also print the challenge's score, from "
            "DIR/subj01/test_split/test_fmri/lh_test_fmri.npy, …, and "
            "DIR/subj01/test_split/noise_ceiling/lh_noise_ceiling.npy, …, as shares of variance.",
        ),
    ] = None,
    fill: Annotated[
        Literal["zero"] | None,
        Parameter(
            show_default="refuse such vertices",
            help="What vertices of no model's ROI are filled with: 0, the mean of z-scored "
            "responses, which scores 0.",
        ),
    ] = None,
    trust_code: TrustCode = False,
) -> None:
    """Predict every vertex of the Algonauts 2023 challenge for its test images.

    A vertex of several ROIs is predicted by the model of the highest r at that vertex, measured on
    held-out training images by the sweep, never on test responses. A model of the ROI `all`, every
    vertex of a hemisphere, takes part at each vertex, and predicts alone those of no other ROI. The
    submission is written completely or not at all.
    """
    from rich.console import Console

    from orchestrator.submit.run import SubmitSettings, submit

    settings = SubmitSettings(models, src, out, subjects, test_responses, fill, trust_code)
    submit(settings, Console())


if __name__ == "__main__":
    leave(main())
