"""Measure the time and size of the report of a whole programme.

python -m benchmarks.report [--subjects 8]

Scores are random, of NSD's size: 8 subjects with 39 ROIs each, 5 methods, two protocols.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.catalogue import ANALYSES
from orchestrator.analyze.run import make
from orchestrator.report.page import size_in_megabytes, write_report
from trainables.data.data_directory import DataDirectory
from trainables.encoding.score_rois import RoiScores
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import write_scores
from trainables.spec import (
    ALEXNET_LAYERS,
    LARGEST_ROI,
    Contrastive,
    Encoding,
    Objective,
    Pooled,
    Regression,
    Roi,
    Trial,
    Untuned,
)
from trainables.spec.rois import HIGHER, ROI_FAMILIES

ENCODING = Encoding(protocols=("nested", "paper"))
SINGLE: dict[str, Objective] = {
    "untuned": Untuned(),
    "regression": Regression(),
    "contrastive": Contrastive(),
}
POOLED = (Pooled(), Pooled(hidden_dim=LARGEST_ROI))
N_ROIS = 39
"""ROIs per subject; 312 for eight subjects."""


def main() -> None:
    """Write random scores, then time the analyses and the page."""
    parser = argparse.ArgumentParser(description="Time the report of a whole programme.")
    parser.add_argument("--subjects", type=int, default=8)
    n_subjects = parser.parse_args().subjects
    with tempfile.TemporaryDirectory() as home:
        inputs = Inputs(RunDirectory(Path(home) / "runs"), DataDirectory(Path(home) / "data"))
        n_rois = write_programme(inputs.runs, n_subjects)
        start = time.perf_counter()
        for one in ANALYSES:
            done = make(one, inputs)
            print(f"{one.name:20} {done.state:10} {done.message[:60]}")
        analysed = time.perf_counter()
        page = write_report(inputs, inputs.runs.report)
        ended = time.perf_counter()
        print(
            f"{n_rois} ROIs x 5 methods: analyses {analysed - start:.1f} s, "
            f"page {ended - analysed:.1f} s, {size_in_megabytes(page):.1f} MB"
        )


def write_programme(runs: RunDirectory, n_subjects: int, largest: int = 1500) -> int:
    """Write every method's scores on every ROI; return the number of ROIs.

    largest: number of vertices that no ROI reaches; the smallest has 40 or more.
    """
    generator = np.random.default_rng(0)
    roi_names = [
        (side, roi_name)
        for side in ("lh", "rh")
        for roi_name in (*ROI_FAMILIES["prf-visualrois"], *HIGHER)
    ][:N_ROIS]
    by_region: dict[tuple[str, str], list[Roi]] = {region: [] for region in roi_names}
    for number in range(1, n_subjects + 1):
        for side, roi_name in roi_names:
            n = int(generator.integers(40, largest))
            roi = Roi("nsd", f"subj{number:02d}", side, roi_name, n, f"{number:08x}")
            by_region[side, roi_name].append(roi)
            for objective in SINGLE.values():
                write(runs, Trial(objective, (roi,), encoding=ENCODING), roi, generator)
    for rois in by_region.values():
        for pooled in POOLED if len(rois) > 1 else ():
            trial = Trial(pooled, tuple(rois), encoding=ENCODING)
            for roi in rois:
                write(runs, trial, roi, generator)
    return sum(map(len, by_region.values()))


def write(runs: RunDirectory, trial: Trial, roi: Roi, generator: np.random.Generator) -> None:
    """Write one ROI's scores under both protocols."""
    r = generator.normal(0.4, 0.1, roi.n_vertices)
    by_layer = np.stack([r - 0.01 * place for place in range(len(ALEXNET_LAYERS))])
    scores = [
        RoiScores(
            roi=roi,
            protocol=protocol,
            layer=ALEXNET_LAYERS[0],
            layers=ALEXNET_LAYERS,
            vertex=np.arange(roi.n_vertices, dtype=np.int32),
            alpha=np.full(roi.n_vertices, 100.0),
            r=r,
            r_by_layer=by_layer,
            choice_by_layer=by_layer,
            n_test=1477,
        )
        for protocol in ENCODING.protocols
    ]
    write_scores(runs, trial, scores)


if __name__ == "__main__":
    main()
