"""A vertex's noise ceiling: read as it is, or computed from NSD's signal-to-noise ratio."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.cli.values import MOST, integer, shortened
from orchestrator.ingest.arrays import listed, open_array, read_noise_ceiling

MOST_TRIALS: Final = 1000
"""More trials an image are no data set's: the number was a count of images."""


def parse_repeats(text: str) -> tuple[int, ...]:
    """Read how many trials responses are means of, as counts of images by 1, 2, 3 … trials.

    ``3`` says that every response is the mean of 3 trials; ``600,900,7341`` that 600 images were
    shown once, 900 twice and 7,341 three times. Raises InputError for anything else.
    """
    parts = [part.strip() for part in text.split(",")]
    numbers = (integer(part, 0, MOST) for part in parts)
    counts = tuple(number for number in numbers if number is not None)
    is_one_number = len(counts) == 1
    if len(counts) < len(parts) or not any(counts) or (is_one_number and counts[0] > MOST_TRIALS):
        raise InputError(
            f"--repeats {shortened(text)}: expected one number of trials such as 3, or how many "
            "images were shown once, twice, three times … such as 600,900,7341"
        )
    return (*(0,) * (counts[0] - 1), 1) if is_one_number else counts


def ceiling_from_ncsnr(ncsnr: NDArray[Any], repeats: Sequence[int]) -> NDArray[np.float32]:
    """Compute the highest r that a perfect model could reach: √(s² / (s² + m)).

    ncsnr: s, (n_vertices,), standard deviation of a vertex's signal over that of a trial's noise;
    NaN where not known. repeats: images by 1, 2, 3 … trials; m is the mean of 1 / trials over
    images, the share of the noise's variance that is left in a response. (Allen et al. 2022.)
    """
    trials = np.arange(1, len(repeats) + 1)
    left = float(np.dot(repeats, 1 / trials) / np.sum(repeats))
    signal = np.square(ncsnr.astype(np.float64))
    return np.asarray(np.sqrt(signal / (signal + left)), dtype=np.float32)


def read_ceiling(
    path: Path, n_vertices: int | None, repeats: Sequence[int] | None
) -> NDArray[np.float32]:
    """Read a hemisphere's noise ceilings, (n_vertices,): the highest r; NaN where not known.

    repeats: None where the file holds ceilings; else it holds ncsnr. Raises InputError for another
    shape or length, or values that can't be.
    """
    if repeats is None:
        return read_noise_ceiling(path, n_vertices)
    ncsnr = open_array(path, "ncsnr")
    if ncsnr.ndim != 1 or not np.issubdtype(ncsnr.dtype, np.floating):
        raise InputError(
            f"{path}: expected one float per vertex, found {ncsnr.dtype} of {ncsnr.shape}; "
            "save it as a 1-D float array"
        )
    if n_vertices is not None and len(ncsnr) != n_vertices:
        raise InputError(
            f"{path}: {len(ncsnr):,} values of ncsnr, but the responses have {n_vertices:,} "
            "vertices; take it from the same subject, at the vertices of challenge space"
        )
    outside = np.flatnonzero((ncsnr < 0) | np.isinf(ncsnr))
    if len(outside):
        raise InputError(
            f"{path}: expected ratios of 0 or more, found {len(outside):,} negative or infinite, "
            f"at vertices {listed(outside)}; save NaN where ncsnr is not known"
        )
    return ceiling_from_ncsnr(ncsnr, repeats)
