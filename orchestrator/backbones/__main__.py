"""List image networks; of one, its layers, sizes and cost, and ten layers to start with.

cortex-sweep backbones                                  torchvision's networks, and how many of timm
cortex-sweep backbones --like dinov2                    names with a text in them
cortex-sweep backbones timm/convnext_tiny.in12k_ft_in1k one network
cortex-sweep backbones resnet50 --n-images 9000         and what an epoch costs here
"""

from collections.abc import Sequence
from typing import Annotated, Final

from cyclopts import Parameter

from orchestrator.cli.app import new_app, run_app
from orchestrator.cli.arguments import Flag, PositiveInteger, data_directory, read_with
from orchestrator.cli.errors import InputError
from orchestrator.cli.process import leave
from trainables.data.data_directory import DataDirectory

app: Final = new_app("backbones")

ImageSize = Annotated[
    PositiveInteger,
    Parameter(
        metavar="PIXELS",
        show_default="the size that the weights were trained with",
        help="Height and width of the data's images.",
    ),
]
Data = Annotated[
    DataDirectory,
    read_with(data_directory, "DATA"),
    Parameter(
        help="Say which images of ingested shards the network is given: their directory, a local "
        "one, or s3://BUCKET/PREFIX."
    ),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 2 for bad input."""
    return run_app(app, arguments)


@app.default
def backbones(
    name: Annotated[
        str | None,
        Parameter(metavar="NAME", help="A network, as in `Backbone(NAME)`: omit it for the list."),
    ] = None,
    /,
    *,
    like: Annotated[
        str | None, Parameter(metavar="TEXT", help="List the networks with this text in the name.")
    ] = None,
    image_size: ImageSize | None = None,
    n_images: Annotated[
        PositiveInteger | None,
        Parameter(help="Measure, on a few batches, what an epoch of so many images costs here."),
    ] = None,
    data: Data | None = None,
    all_layers: Annotated[
        Flag, Parameter(help="List every module, not only those that the network is made of.")
    ] = False,
) -> None:
    """List the image networks, or describe one: its layers, their sizes, and what it costs.

    The suggested layers are the ends of ten blocks, evenly over the depth of the network; nothing
    is downloaded.
    """
    if name is None and (image_size or n_images or all_layers or data):
        raise InputError("--image-size, --n-images, --all-layers and --data: expected a NAME")
    if name is not None and like is not None:
        raise InputError("NAME and --like: expected one of the two; omit the other")

    from rich.console import Console

    from orchestrator.backbones.run import Wanted, describe, list_names

    console = Console(soft_wrap=True)
    if name is None:
        list_names(like, console)
    else:
        describe(name, Wanted(image_size, n_images, all_layers, data), console)


if __name__ == "__main__":
    leave(main())
