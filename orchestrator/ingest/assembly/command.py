"""The command that writes an ingested subject as a NeuroidAssembly."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from orchestrator.cli.arguments import ShardsDirectory, find_places


def assembly(
    subject: Annotated[
        str, Parameter(help="Directory of the subject in DATA, such as nsd-subj01.")
    ],
    /,
    *,
    out: Annotated[Path, Parameter(metavar="FILE", help="File to write, which ends in .nc.")],
    data: ShardsDirectory | None = None,
) -> None:
    """Write an ingested subject's responses as a NeuroidAssembly, in netCDF.

    Brain-Score's benchmarks are made from such files. Presentations have stimulus_id, repetition,
    split and order; neuroids neuroid_id, subject, hemisphere, region and, where known, nc_testset
    and their place. `ingest folder` reads them as responses.nc.
    """
    from orchestrator.ingest.assembly.write import write_assembly

    n_images, n_neuroids = write_assembly(find_places(None, data).data, subject, out)
    sys.stdout.write(f"{out}: {n_images:,} presentations of {n_neuroids:,} neuroids\n")
