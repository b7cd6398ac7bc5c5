"""Export the encoding models of a sweep, to predict the responses to any image.

cortex-sweep export --out MODELS                      the best model of each ROI
cortex-sweep export --trials contrastive --out MODELS those of some trials
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Group, Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.arguments import (
    DEMO,
    File,
    Flag,
    RunsDirectory,
    ShardsDirectory,
    find_places,
)
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import leave
from orchestrator.cli.selection import SelectionOptions
from orchestrator.cli.trust import TrustRecordedCode

if TYPE_CHECKING:
    from orchestrator.export.choice import Asked

app: Final = new_app("export")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    return run_app(app, arguments)


CHOICE: Final = Group("Choice of models", sort_key=1)


@Parameter(name="*", group=CHOICE)
@dataclass(frozen=True)
class ChoiceOptions:
    """The options that choose models."""

    trials: Annotated[
        tuple[str, ...],
        Parameter(
            metavar="ID...",
            consume_multiple=True,
            show_default="the best model of each ROI",
            help="Ids of trials or evaluations, prefixes of ids, or the 8 hex digits of settings.",
        ),
    ] = ()
    best: Literal["per-roi"] | None = None
    """Export the best model of each ROI, as without --trials: by validation where its models have
    fair scores of it, else by r on the test images."""
    protocol: Annotated[
        Literal["nested", "clean"] | None,
        Parameter(show_default="nested, or clean if only that was scored"),
    ] = None
    """Protocol whose choice of layer and alphas is taken."""

    def read(self, selection: SelectionOptions) -> "Asked":
        """Read the choice; raise InputError if its options contradict each other."""
        if self.trials and self.best:
            raise InputError("--trials and --best: expected one of the two; omit the other")
        selected = selection.read()

        from orchestrator.export.choice import Asked

        return Asked(self.trials, self.protocol, selected)


@Parameter(name="*")
@dataclass(frozen=True)
class FormOptions:
    """What is written of a model."""

    fit: Literal["train", "all"] = "train"
    """Fit PCA and ridge regression to the training images, as scored, or to all images."""
    half: Flag = False
    """Store PCA and readout in half precision where that changes no vertex's r by 0.0001 or
    more."""
    format: Literal["models", "brainscore"] = "models"
    """Encoding models; or the backbones of the chosen models as plug-ins of Brain-Score, which fits
    readouts itself."""


@app.default
def export(
    *,
    out: Annotated[
        Path, Parameter(metavar="MODELS", help="Directory of the models, one directory each.")
    ],
    runs: RunsDirectory | None = None,
    data: ShardsDirectory | None = None,
    weights: Annotated[
        File | None, Parameter(help="State dict that the sweep's backbones started from.")
    ] = None,
    trust_code: TrustRecordedCode = False,
    form: FormOptions = FormOptions(),
    choice: ChoiceOptions = ChoiceOptions(),
    selection: SelectionOptions = SelectionOptions(),
) -> None:
    """Export encoding models, which predict an ROI's responses to any image, as files.

    Each model is fitted again, from the trial's checkpoint and the shards, at the layer and alphas
    that its scores chose, and must reach the r of these scores on the test images. `load_model` of
    `orchestrator.encoding_models` loads it. The same command skips models that are there.
    """
    asked = choice.read(selection)

    from rich.console import Console

    from orchestrator.export.run import ExportSettings, export_backbones
    from orchestrator.export.run import export as run_export

    places = find_places(runs, data)
    file = weights or (DEMO / "weights.safetensors" if places.is_demo else None)
    settings = ExportSettings(
        places.runs, places.data, out, asked, form.fit, form.half, file, trust_code
    )
    if form.format == "brainscore":
        export_backbones(settings, Console())
    else:
        run_export(settings, Console())


if __name__ == "__main__":
    leave(main())
