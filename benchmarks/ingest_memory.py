"""Measure the peak memory of averaging NSD's trials, at its size and with ten times the vertices.

python -m benchmarks.ingest_memory [--sessions 2] [--rows 400]

Sessions of 750 trials on fsaverage (163,842 vertices of a hemisphere, of which nsdgeneral has
19,004), and on a mesh of ten times the vertices, with as many and with ten times as many read; as
many voxels of HDF5 files of func1mm and of seven times its size (42 GB a session); and images out
of a file of NSD's 73,000 stimuli of 425 pixels (40 GB). Files are sparse, so that they take no
disk; each case is a process of its own. Anonymous memory is what the program needs; pages
of files, which the system takes back at any time, are reported apart. Target: the same anonymous
memory, within 20 MB, whatever the size of the files. Only the reading of rows, 64 images at a time,
grows with what is written of each image.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import h5py
import numpy as np

from orchestrator.ingest.image_places import StackedImage
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.nsd.fsaverage import HEADER_BYTES, BetaFile
from orchestrator.ingest.nsd.integer_betas import open_betas, read_columns, to_percent
from orchestrator.ingest.simulate.nsd_betas import write_betas
from orchestrator.ingest.trial_means import Block, Reader, TrialMeans, TrialRows, column_blocks

N_TRIALS: Final = 750
N_VERTICES: Final = 163_842
N_READ: Final = 19_004
N_STIMULI: Final = 73_000
ROWS_AT_ONCE: Final = 64
MEGABYTE: Final = 10**6
CASES: Final = {
    "NSD": (1, 1),
    "10 x vertices in the files": (10, 1),
    "10 x vertices in the files and read": (10, 10),
}
"""Vertices of the files and of what is read, in those of NSD."""
FUNC1MM: Final = (148, 186, 145)
"""Z, Y, X of subj01."""
RUN: Final = 12
"""Neighbouring voxels that are read."""
VOLUMES: Final = {"func1mm": 1, "func1mm, 42 GB a session": 7}
"""Sizes of the volume, in that of NSD."""
STIMULI: Final = "40 GB of stimuli"


def main() -> None:
    """Measure each case in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description="Memory of averaging NSD's trials.")
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--rows", type=int, default=400, help="images, by which scratch files grow")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        sys.stdout.write(json.dumps(measure(options.case, options.sessions, options.rows)))
        return
    print(f"{'':45}{'anonymous MB':>14}{'of files MB':>13}{'seconds':>9}{'MB/s':>7}")
    for case in (*CASES, *VOLUMES, STIMULI):
        command = [sys.executable, "-m", "benchmarks.ingest_memory", "--case", case]
        command += ["--sessions", str(options.sessions), "--rows", str(options.rows)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        for step, values in found.items():
            print(f"{case + ', ' + step:45}{values['anonymous']:14.0f}{values['files']:13.0f}"
                  f"{values['seconds']:9.1f}{values['rate']:7.0f}")  # fmt: skip


def measure(case: str, n_sessions: int, n_rows: int) -> dict[str, dict[str, float]]:
    """Measure the steps of a case: peak memory above the start in MB, seconds, MB/s of files."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as home:
        if case == STIMULI:
            path = sparse_stimuli(Path(home) / "stimuli.hdf5")
            with watched(found, "decoding", 200 * 425 * 425 * 3):
                for row in range(0, N_STIMULI, N_STIMULI // 200):
                    decode_image(StackedImage(path, "imgBrick", row), 224)
            return found
        if case in VOLUMES:
            n_read, n_bytes = N_READ, 2 * N_TRIALS * N_READ
            read = volume_reader(Path(home), VOLUMES[case])
        else:
            of_file, of_read = CASES[case]
            n_read, n_bytes = N_READ * of_read, 4 * N_TRIALS * N_VERTICES * of_file
            read = surface_reader(Path(home), N_VERTICES * of_file, n_read, n_sessions)
        scratch = Path(home) / "scratch"
        scratch.mkdir()
        of_trials = np.arange(N_TRIALS, dtype=np.int32) % n_rows
        means = TrialMeans(scratch, {"lh": n_read}, TrialRows((of_trials,) * n_sessions, n_rows))
        with watched(found, "averaging", n_sessions * n_bytes):
            means.read(read)
        with watched(found, "reading rows", 4 * n_rows * n_read):
            rows = means.rows()["lh"]
            for first in range(0, n_rows, ROWS_AT_ONCE):
                rows[first : first + ROWS_AT_ONCE]
    return found


def surface_reader(home: Path, n_vertices: int, n_read: int, n_sessions: int) -> Reader:
    """Write sparse sessions on a mesh; return what reads vertices spread over it."""
    files = [sparse_betas(home / f"{k}.mgh", n_vertices) for k in range(n_sessions)]
    vertices = np.linspace(0, n_vertices - 1, n_read).astype(np.int32)

    def read(session: int) -> Iterator[Block]:
        opened = BetaFile.open(files[session])
        for columns in column_blocks(N_TRIALS, n_read):
            yield Block("lh", columns, opened.read(vertices[columns]))

    return read


def volume_reader(home: Path, factor: int) -> Reader:
    """Write a sparse volume of factor times NSD's func1mm; return what reads runs of its voxels."""
    shape = (N_TRIALS, FUNC1MM[0] * factor, *FUNC1MM[1:])
    path = home / "betas.hdf5"
    with h5py.File(path, "w") as file:
        file.create_dataset("betas", shape, np.int16, chunks=(N_TRIALS, 1, 1, 1))
    starts = np.linspace(0, np.prod(shape[1:]) - RUN, N_READ // RUN + 1).astype(np.int64)
    places = (starts[:, None] + np.arange(RUN)).reshape(-1)[:N_READ]

    def read(session: int) -> Iterator[Block]:
        with open_betas(path, 4) as data:
            for columns in column_blocks(N_TRIALS, N_READ):
                yield Block("lh", columns, to_percent(read_columns(data, places[columns])))

    return read


def sparse_betas(path: Path, n_vertices: int) -> Path:
    """Write a session's file of zeros, which takes no disk."""
    write_betas(path, np.zeros((1, n_vertices)))
    header = bytearray(path.read_bytes()[:HEADER_BYTES])
    header[16:20] = N_TRIALS.to_bytes(4, "big")
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(HEADER_BYTES + 4 * N_TRIALS * n_vertices)
    return path


def sparse_stimuli(path: Path) -> Path:
    """Write NSD's file of stimuli without content."""
    with h5py.File(path, "w") as file:
        file.create_dataset("imgBrick", (N_STIMULI, 425, 425, 3), np.uint8, chunks=(1, 425, 425, 3))
    return path


@contextmanager
def watched(found: dict[str, dict[str, float]], step: str, n_bytes: int) -> Iterator[None]:
    """Add a step's seconds, rate, and peak memory above that of its start."""
    before, peak, done = resident(), dict.fromkeys(("anonymous", "files"), 0.0), threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            for kind, value in resident().items():
                peak[kind] = max(peak[kind], value - before[kind])

    watcher = threading.Thread(target=look)
    watcher.start()
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
    found[step] = {**peak, "seconds": seconds, "rate": n_bytes / MEGABYTE / seconds}


def resident() -> dict[str, float]:
    """Return this process's resident memory in MB, anonymous and of files apart."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    sizes = {line.split()[0]: int(line.split()[1]) * 1024 / MEGABYTE for line in lines
             if line.startswith("Rss")}  # fmt: skip
    return {"anonymous": sizes["RssAnon:"], "files": sizes["RssFile:"]}


if __name__ == "__main__":
    main()
