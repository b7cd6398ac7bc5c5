"""``dataset.json``: what one's own data are, in a few fields."""

from dataclasses import field
from pathlib import Path
from typing import Literal

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.layouts import DESCRIPTION
from trainables.spec.fields import Flag, Name, Positive
from trainables.spec.records import read_record, record

Space = Literal["fsaverage", "fsLR32k", "native", "volume", "none"]
CeilingUnit = Literal["percent_variance", "variance", "r", "ncsnr"]


@record
class Description:
    """What ``dataset.json`` says; every field but the name has a default."""

    name: Name
    """Names the shards: ``NAME-sub-01``."""
    visual_degrees: Positive | None = None
    """Width of the images, in degrees of visual angle; kept as a choice in the manifest."""
    units: Literal["psc", "z", "other"] = "other"
    """Of the responses: per cent signal change, z scores, or another."""
    zscored: Literal["none", "session", "all"] = "none"
    """Over which presentations each column of the responses was z-scored already."""
    averaged: Flag = False
    """Whether a row is the mean of a stimulus' presentations already."""
    space: Space = "none"
    """What ``vertex`` or ``voxel_x``, ``voxel_y``, ``voxel_z`` of neuroids.csv count."""
    noise_ceiling_unit: CeilingUnit | None = None
    """Unit of ``noise_ceiling`` of neuroids.csv; needed where there is such a column."""
    comment: dict[str, str] = field(default_factory=dict)
    """Anything, by the name of a field; ignored."""

    def choices(self) -> dict[str, str]:
        """Return what a subject's manifest records of it."""
        found: dict[str, str] = {"units": self.units, "space": self.space}
        if self.visual_degrees is not None:
            found["visual_degrees"] = f"{self.visual_degrees:g}"
        return found


def read_description(source: Path) -> Description:
    """Read the description of a folder; raise InputError where it is missing or invalid."""
    path = source / DESCRIPTION
    require_file(path, "description")
    try:
        return read_record(path, Description, "correct it")
    except ValueError as error:
        raise InputError(str(error)) from error
