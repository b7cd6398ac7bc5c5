"""Turn labels, one per vertex, into the vertices of each ROI."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.arrays import listed

NO_LABEL: Final = 0


def regions_of(
    path: Path, labels: NDArray[np.integer[Any]], names: Mapping[int, str], names_in: str
) -> dict[str, NDArray[np.int32]]:
    """Return the vertices of each ROI, ascending; ROIs without vertices are left out.

    path: of the labels, for errors. labels: (n_vertices,), NO_LABEL or less for none. names_in:
    what names the labels. Raises InputError for labels that have no name.
    """
    used = [int(label) for label in np.unique(labels) if label > NO_LABEL]
    nameless = [str(label) for label in used if label not in names]
    if nameless:
        raise InputError(
            f"{path}: labels without a name in {names_in}: {listed(nameless)}, {names_in} names "
            f"{', '.join(map(str, sorted(names)))}; download both again, or save 0 there"
        )
    return {names[label]: np.flatnonzero(labels == label).astype(np.int32) for label in used}
