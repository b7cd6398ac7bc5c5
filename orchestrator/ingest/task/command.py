"""The command that ingests an image-classification data set."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.ingest.options import Cpus, ImageSize, Shards
from orchestrator.ingest.settings import TaskFormat


def task(
    source: Annotated[Path, Parameter(help="Folder with the classes, or the data set.")],
    /,
    *,
    out: Shards,
    name: Annotated[str, Parameter(metavar="NAME", help="Name of the task.")],
    format: Annotated[
        TaskFormat,
        Parameter(
            help="imagefolder: a directory per class; the others as torchvision unpacks them "
            "(places365: the small images of val, imagenet: val)."
        ),
    ] = "imagefolder",
    cpus: Cpus = None,
    image_size: Annotated[
        ImageSize, Parameter(help="Width and height of the images, after the crop.")
    ] = 224,
) -> None:
    """Read an image-classification data set into shards, DATA/tasks/NAME.

    It is a directory of images per class, or one of torchvision's data sets as it lies on disk;
    nothing is downloaded. An image's shorter side is resized to 256/224 of the image size, and the
    centre is cropped. 85 % of the images are training images. Everything is checked first, as by
    `algonauts`.
    """
    from orchestrator.ingest.task.run import ingest_task

    ingest_task(source, out, name, format, image_size, cpus)
