"""Measure images per second and peak memory of ingest, at the size of one NSD subject.

python -m benchmarks.ingest [--images 9841] [--vertices 19004] [--distinct 200]

The source is a folder in the Algonauts layout with random responses and simulated images of 425 x
425 pixels (``--distinct`` of them, hard-linked under all other names). The command ingests it in
processes of its own, whose memory is summed as proportional set size, which counts shared memory
once. Target: less than 2 GiB above the response matrices. For comparison, all cores decode and
resize images without any other work.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from orchestrator.ingest.images import decode_image
from orchestrator.ingest.simulate.scenes import compose, render

PACKED_SIZE: Final = 425
GIB: Final = 2**30
SAMPLE_SECONDS: Final = 0.5
MASK: Final = "{hemisphere}.prf-visualrois_challenge_space.npy"


def main() -> None:
    """Write the folder, ingest it, and print the rate and the memory."""
    parser = argparse.ArgumentParser(description="Ingest at the size of one subject of NSD.")
    parser.add_argument("--images", type=int, default=9841)
    parser.add_argument("--vertices", type=int, default=19_004, help="vertices per hemisphere")
    parser.add_argument("--distinct", type=int, default=200, help="number of different images")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        source = Path(home) / "source"
        write_folder(source / "subj01", options)
        seconds, peak = ingest(source, Path(home) / "data")
        decoded = decoding_rate(sorted(source.rglob("*.png"))[: options.distinct])
    matrices = 2 * 4 * options.images * options.vertices
    print(
        f"{options.images:,} images of {PACKED_SIZE} px, {2 * options.vertices:,} vertices: "
        f"{seconds:.0f} s, {options.images / seconds:.0f} images/s on "
        f"{len(os.sched_getaffinity(0))} CPUs, which decode at most {decoded:.0f} images/s\n"
        f"peak memory of all processes {peak / GIB:.2f} GiB; response matrices "
        f"{matrices / GIB:.2f} GiB: {(peak - matrices) / GIB:+.2f} GiB above them"
    )


def write_folder(home: Path, options: argparse.Namespace) -> None:
    """Write one subject's images, responses and one family of masks."""
    pictures, fmri = (home / "training_split" / f"training_{part}" for part in ("images", "fmri"))
    masks = home / "roi_masks"
    for folder in (pictures, fmri, masks):
        folder.mkdir(parents=True)
    for number in range(options.images):
        path = pictures / f"train-{number + 1:04d}_nsd-{number:05d}.png"
        if number < options.distinct:
            Image.fromarray(render(compose(0, number), PACKED_SIZE)).save(path)
        else:
            same = number % options.distinct
            os.link(pictures / f"train-{same + 1:04d}_nsd-{same:05d}.png", path)
    rng = np.random.default_rng(0)
    for hemisphere in ("lh", "rh"):
        shape = (options.images, options.vertices)
        np.save(fmri / f"{hemisphere}_training_fmri.npy", rng.standard_normal(shape, np.float32))
        labels = (np.arange(options.vertices) < options.vertices // 20).astype(np.int32)
        np.save(masks / MASK.format(hemisphere=hemisphere), labels)
    names = np.array({0: "Unknown", 1: "V1v"}, dtype=object)
    np.save(masks / "mapping_prf-visualrois.npy", names)


def decoding_rate(pictures: list[Path]) -> float:
    """Measure how many images per second all cores decode and resize, without start-up."""
    many = pictures * 5
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        list(pool.map(_decode, pictures, chunksize=20))
        start = time.perf_counter()
        list(pool.map(_decode, many, chunksize=20))
        return len(many) / (time.perf_counter() - start)


def _decode(path: Path) -> int:
    return decode_image(path, 224).nbytes


def ingest(source: Path, data: Path) -> tuple[float, int]:
    """Run the command; return its seconds and the peak of its processes' memory, in bytes."""
    command = [sys.executable, "-m", "orchestrator.ingest", "algonauts", str(source)]
    start, peak = time.perf_counter(), 0
    process = subprocess.Popen([*command, "--out", str(data)], stdout=sys.stderr)
    while process.poll() is None:
        peak = max(peak, sum(proportional_bytes(pid) for pid in family(process.pid)))
        time.sleep(SAMPLE_SECONDS)
    if process.returncode:
        raise SystemExit(f"ingest ended with {process.returncode}")
    return time.perf_counter() - start, peak


def family(pid: int) -> list[int]:
    """List a process and all of its descendants."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(
                stat.read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1]
            )
        except OSError:  # it has just ended
            continue
    found = [pid]
    for parent in found:
        found += [child for child, above in parents.items() if above == parent]
    return found


def proportional_bytes(pid: int) -> int:
    """Measure a process's proportional set size; 0 when it has just ended."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
    except OSError:
        return 0
    return next(
        (1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0
    )


if __name__ == "__main__":
    main()
