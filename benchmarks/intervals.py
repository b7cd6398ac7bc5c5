"""Time the intervals of a sweep of the size of NSD: the ROIs, methods and seeds of its subjects.

python -m benchmarks.intervals [--subjects 1] [--methods 5] [--seeds 3]

Predictions are written to files and read again, as a table does; reading a subject's responses from
its shards is not part of it. ROIs are measured two at once.
"""

import argparse
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from orchestrator.scores.rows import subject_weights
from orchestrator.scores.statistics.hierarchical_interval import mean_uncertainty
from orchestrator.scores.statistics.image_jackknife import MeasuredResponses
from orchestrator.scores.statistics.measured_differences import AT_ONCE
from orchestrator.scores.statistics.roi_differences import (
    Images,
    RoiDifference,
    TrialScore,
    subtract,
)

N_SUBJECTS: Final = 8
N_IMAGES: Final = 1477
SIZES: Final = tuple(np.geomspace(60, 5741, 39).astype(int).tolist())
"""Vertices of a subject's 39 ROIs, with a median of about 590 as in NSD."""


def main() -> None:
    """Time one subject or more, and print the time of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=1)
    parser.add_argument("--methods", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    n_series = 1 + (options.methods - 1) * options.seeds  # untuned has no seed
    found: list[tuple[float, RoiDifference]] = []
    for subject in range(options.subjects):
        with ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = [pool.submit(_measure, n, n_series, options.seeds, subject) for n in SIZES]
            found += [one for task in tasks for one in task.result()]
    start = time.thread_time()
    rows = [one for _, one in found]
    weights = subject_weights([one.subject for one in rows])
    mean_uncertainty(rows, weights.tolist())
    seconds = sum(busy for busy, _ in found) + time.thread_time() - start
    print(f"{len(SIZES) * N_SUBJECTS} ROIs x {options.methods} methods x {options.seeds} seeds:")
    print(f"{seconds * N_SUBJECTS / options.subjects:.0f} s of CPU, on {AT_ONCE} cores half of it")


def _measure(
    n_vertices: int, n_series: int, n_seeds: int, subject: int
) -> list[tuple[float, RoiDifference]]:
    """Time an ROI's trials, from files to differences: the seconds, then the differences."""
    rng = np.random.default_rng([subject, n_vertices])
    measured = rng.standard_normal((N_IMAGES, n_vertices), dtype=np.float32)
    noise = rng.standard_normal(measured.shape, dtype=np.float32)
    with tempfile.TemporaryDirectory() as home:
        path = Path(home) / "predictions.parquet"
        _write((measured + noise).astype(np.float16), path)
        start = time.thread_time()
        responses, every = MeasuredResponses(measured), np.ones(n_vertices, bool)
        images = np.arange(N_IMAGES)
        scores = []
        for _ in range(n_series):
            r, effects = responses.mean_r(_read(path, n_vertices), every)
            scores.append((r, Images.of_rows(images, effects)))
        place = ("nsd", f"subj{subject}")
        untuned, *tuned = scores
        differences = [
            subtract(
                place,
                [TrialScore(str(k), *one) for k, one in enumerate(tuned[first : first + n_seeds])],
                [TrialScore(None, *untuned)],
            )
            for first in range(0, len(tuned), n_seeds)
        ]
        seconds = (time.thread_time() - start) / len(differences)
    return [(seconds, one) for one in differences]


def _write(values: np.ndarray[Any, np.dtype[np.float16]], path: Path) -> None:
    flat = pa.array(values.reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    pq.write_table(pa.table({"nested": lists}), path, use_dictionary=False)


def _read(path: Path, n_vertices: int) -> np.ndarray[Any, np.dtype[np.float16]]:
    column = pq.read_table(path)["nested"].combine_chunks()
    values: np.ndarray[Any, np.dtype[np.float16]] = column.flatten().to_numpy()
    return values.reshape(-1, n_vertices)


if __name__ == "__main__":
    main()
