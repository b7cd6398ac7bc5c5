"""MOSAIC's table of a data set's stimuli: their ids, and which are artificial."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.names import NSD
from orchestrator.ingest.tables import read_rows

ARTIFICIAL: Final = ("artificial", "nsdsynthetic")
"""Sources, in lower case, of stimuli that show no natural scene or object."""
N_NSD: Final = 73_000


@dataclass(frozen=True)
class Stimulus:
    """One stimulus."""

    id: str
    """Shared by all subjects, and for NSD and NOD with their other layouts: ``nsd-00013``."""
    is_artificial: bool
    nsd_row: int | None = None
    """Its row in NSD's stack of stimuli, counted from 0."""


def read_stimulus_info(path: Path, dataset: str) -> Mapping[str, Stimulus]:
    """Read the stimuli of a data set, by the names of their files.

    dataset: its short name. Raises InputError with everything that is wrong.
    """
    is_nsd = dataset == NSD
    columns = ("filename", "source", *(("alias",) if is_nsd else ()))
    stimuli: dict[str, Stimulus] = {}
    lines = []
    for row in read_rows(path, "a table of stimuli", columns):
        name, is_artificial = row["filename"], row["source"].lower() in ARTIFICIAL
        if not name or name in stimuli:
            lines.append(f"{path}: stimulus {name!r} is listed twice; download it again")
            continue
        nsd_row = _nsd_row(row["alias"]) if is_nsd and not is_artificial else None
        if is_nsd and not is_artificial and nsd_row is None:
            lines.append(
                f"{path}: stimulus {name!r} has the alias {row['alias']!r}, expected NSD's number "
                f"from 0 to {N_NSD - 1}; download it again"
            )
        stimuli[name] = Stimulus(_id(name, nsd_row, is_nsd), is_artificial, nsd_row)
    if lines:
        raise InputError(*lines)
    return stimuli


def _id(name: str, nsd_row: int | None, is_nsd: bool) -> str:
    if nsd_row is not None:
        return f"nsd-{nsd_row:05d}"
    return f"nsdsynthetic-{Path(name).stem}" if is_nsd else Path(name).stem


def _nsd_row(alias: str) -> int | None:
    match = re.fullmatch(r"0*([0-9]{1,5})(?:\.0*)?", alias)
    row = int(match[1]) if match else N_NSD
    return row if row < N_NSD else None
