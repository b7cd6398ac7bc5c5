"""Noise ceilings of MOSAIC, in per cent of variance, as the highest r at each vertex."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.choices import MosaicChoices
from orchestrator.ingest.mosaic.grayordinates import N_GRAYORDINATES
from orchestrator.ingest.mosaic.names import SubjectKey
from orchestrator.ingest.mosaic.recordings import CEILINGS, Recording, opened
from orchestrator.ingest.noise_ceilings import ceiling_from_ncsnr


@dataclass(frozen=True)
class Ceilings:
    """The noise ceiling of each grayordinate."""

    r: NDArray[np.float32]
    """(N_GRAYORDINATES,): the highest r; NaN where not known."""
    formula: str


def read_ceilings(
    path: Path,
    group: str,
    key: SubjectKey,
    recording: Recording,
    choices: MosaicChoices,
    repeats: Sequence[int],
) -> Ceilings | None:
    """Read the noise ceilings that belong to the test images; None where there are none.

    Where the data set decides which images test, its ceilings for the mean of their trials are
    taken. Other splits mix phases: the ceiling of one trial in the test phase gives ncsnr, which
    gives the ceiling for the trials that there are. repeats: test images by 1, 2, 3 … trials.
    Raises InputError for values that are no per cent.
    """
    if choices.test == "all":
        return None
    if choices.split in ("phase", "lists"):
        phase = "artificial" if choices.test == "artificial" else "test"
        name = key.ceiling(phase, "avg")
        if name not in recording.ceilings:
            return None
        share = _read_share(path, group, name)
        r = np.asarray(np.sqrt(share), dtype=np.float32)
        return Ceilings(r, f"sqrt(NC / 100), NC: {name}")
    name = key.ceiling("test", "1")
    if name not in recording.ceilings or choices.test == "artificial":
        return None
    share = _read_share(path, group, name)
    with np.errstate(divide="ignore"):
        ncsnr = np.sqrt(share / (1 - share))
    formula = (
        f"sqrt(s² / (s² + m)), s² = NC / (100 - NC), NC: {name}, m: mean of 1 / trials over the "
        "test images"
    )
    return Ceilings(ceiling_from_ncsnr(ncsnr, repeats).astype(np.float32), formula)


def count_repeats(trials: Sequence[tuple[str, ...]]) -> tuple[int, ...]:
    """Count images by 1, 2, 3 … trials.

    >>> count_repeats([("a",), ("b", "c"), ("d",)])
    (2, 1)
    """
    counts = np.bincount([len(names) for names in trials])
    return tuple(counts[1:].tolist())


def _read_share(path: Path, group: str, name: str) -> NDArray[np.float64]:
    """Read noise ceilings as shares of variance, below 1; NaN where not known."""
    with opened(path) as file:
        found: Any = (file[group] if group else file)[CEILINGS][name]
        shape, kind = (
            getattr(found, "shape", None),
            getattr(getattr(found, "dtype", None), "kind", ""),
        )
        values = found[()].astype(np.float64) if kind == "f" else np.empty(0)
    known = values[np.isfinite(values)]
    if shape != (N_GRAYORDINATES,) or not len(known) or known.min() < 0 or known.max() > 100:
        seen = f"{known.min():.3g} to {known.max():.3g}" if len(known) else "no number"
        raise InputError(
            f"{path}: expected {name} as per cent of variance, 0 to 100, of {N_GRAYORDINATES:,} "
            f"grayordinates, found {seen} of {shape}; download it again"
        )
    if known.max() <= 1:
        raise InputError(
            f"{path}: expected {name} in per cent, found at most {known.max():.3g}: shares or "
            "correlations; download it again"
        )
    share = np.where(np.isfinite(values), values, np.nan) / 100
    return np.minimum(share, np.nextafter(1, 0))


def of_columns(
    ceilings: Ceilings | None, columns: Mapping[str, NDArray[np.int32]]
) -> dict[str, NDArray[np.float32] | None]:
    """Take the noise ceilings of each hemisphere's columns."""
    return {
        side: None if ceilings is None else ceilings.r[chosen] for side, chosen in columns.items()
    }
