"""Write simulated subjects in the layout of the Natural Scenes Dataset as released, on fsaverage.

The mesh is fsaverage5, whose vertices are the first ones of fsaverage. Images come from ``scenes``,
responses from ``nsd_ground_truth``, and ``nsd_labels`` writes the ROIs.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
import scipy.io

from orchestrator.ingest.simulate.algonauts import N_STIMULI, subject_name
from orchestrator.ingest.simulate.nsd_betas import write_betas
from orchestrator.ingest.simulate.nsd_ground_truth import (
    N_MESH,
    N_RUNS,
    NsdSimulation,
    PlantedDesign,
    plan_design,
    plant_nsd,
    session_betas,
)
from orchestrator.ingest.simulate.nsd_labels import (
    general_vertices,
    save_mgh,
    write_labels,
    write_nsdgeneral,
)
from orchestrator.ingest.simulate.nsd_spaces import (
    Planted,
    Sessions,
    write_native,
    write_volume_betas,
    write_volumes,
)
from orchestrator.ingest.simulate.nsd_synthetic import write_synthetic
from orchestrator.ingest.simulate.scenes import compose, render
from orchestrator.ingest.simulate.simulation_folder import write_once
from trainables.spec.rois import HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]

BETAS: Final = "betas_fithrf_GLMdenoise_RR"


def simulate_nsd(out: Path, settings: NsdSimulation) -> None:
    """Write the simulated subjects to out, unless they exist.

    Raises ValueError when out holds subjects of other settings, or anything else.
    """
    design = plan_design(settings)

    def write(folder: Path) -> None:
        write_design(folder / "nsddata" / "experiments" / "nsd" / "nsd_expdesign.mat", design)
        stimuli = folder / "nsddata_stimuli" / "stimuli" / "nsd" / "nsd_stimuli.hdf5"
        _write_stimuli(stimuli, design, settings)
        write_nsdgeneral(folder, settings.seed)
        for subject in settings.subjects:
            planted = plant_nsd(subject, design, settings)
            write_labels(folder, subject, planted, settings.seed)
            for space in settings.spaces:
                betas = folder / "nsddata_betas" / "ppdata" / subject_name(subject) / space / BETAS
                sessions = (
                    session_betas(subject, session, design, planted, settings)
                    for session in range(1, settings.n_sessions + 1)
                )
                if space == "fsaverage":
                    _write_betas(betas, subject, planted, sessions, settings.seed)
                elif space == "nativesurface":
                    write_native(betas, subject, planted, sessions, settings.seed)
                else:
                    write_volumes(folder, betas, space, subject, planted, settings.seed)
                    write_volume_betas(betas, space, subject, planted, sessions, settings.seed)
        if settings.n_synthetic:
            write_synthetic(folder, design, settings)

    write_once(out, {"nsd": asdict(settings)}, write)


def write_design(path: Path, design: PlantedDesign) -> None:
    """Write the design as a MATLAB file, whose numbers count from 1."""
    n_sessions = len(design.sessions)
    lengths = [part.stop - part.start for part in design.sessions]
    n_slots = max(-(-length // N_RUNS) for length in lengths) + 1
    pattern = np.zeros((n_sessions, N_RUNS, n_slots), np.uint8)
    counts = np.zeros((3, n_sessions), np.uint16)
    for session, length in enumerate(lengths):
        for run, trials in enumerate(np.array_split(np.arange(length), N_RUNS)):
            pattern[session, run, : len(trials)] = 1
        shown = np.bincount(design.ordering[: design.sessions[session].stop])
        counts[:, session] = [(shown >= repeats).sum() for repeats in (1, 2, 3)]
    path.parent.mkdir(parents=True)
    content = {
        "masterordering": design.ordering[None].astype(np.uint16) + 1,
        "subjectim": design.images.astype(np.int32) + 1,
        "sharedix": design.images[:1, : design.n_shared].astype(np.int32) + 1,
        "stimpattern": pattern,
        "basiccnt": counts,
    }
    scipy.io.savemat(path, content)


def _write_stimuli(path: Path, design: PlantedDesign, settings: NsdSimulation) -> None:
    """Write the images of the subjects; the rows of others stay black, and take no space."""
    path.parent.mkdir(parents=True)
    size = settings.image_size
    rows = [subject - 1 for subject in settings.subjects]
    with h5py.File(path, "w") as file:
        shape, chunk = (N_STIMULI, size, size, 3), (1, size, size, 3)
        stack = file.create_dataset("imgBrick", shape, np.uint8, chunks=chunk)
        for stimulus in np.unique(design.images[rows]).tolist():
            stack[stimulus] = render(compose(settings.seed, stimulus), size)


def _write_betas(
    folder: Path, subject: int, planted: Planted, sessions: Sessions, seed: int
) -> None:
    """Write betas and ncsnr to their folder.

    Vertices outside of nsdgeneral have only noise; those in it that the subject lacks are NaN.
    """
    folder.mkdir(parents=True)
    general = {side: general_vertices(seed, side) for side in planted}
    for side, half in planted.items():
        ncsnr = np.zeros(N_MESH, np.float32)
        ncsnr[general[side]] = np.nan
        ncsnr[half.cortex.fsaverage] = half.ncsnr
        save_mgh(folder / f"{side}.ncsnr.mgh", ncsnr)
    for session, betas in enumerate(sessions, start=1):
        for side, values in betas.items():
            rng = np.random.default_rng([seed, subject, HEMISPHERES.index(side), session, 12])
            mesh = rng.standard_normal((len(values), N_MESH), dtype=np.float32)
            mesh[:, general[side]] = np.nan
            mesh[:, planted[side].cortex.fsaverage] = values
            write_betas(folder / f"{side}.betas_session{session:02d}.mgh", mesh)
