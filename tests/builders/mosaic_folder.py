"""Simulated folders in MOSAIC's layout, to read without Ray and to damage."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pytest

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.checked import Findings, Subject
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.mosaic.choices import MosaicChoices
from orchestrator.ingest.mosaic.command import CompanionOptions
from orchestrator.ingest.mosaic.files import MosaicFiles, find_subjects
from orchestrator.ingest.mosaic.inspection import inspect_mosaic_subject
from orchestrator.ingest.mosaic.names import SubjectKey
from orchestrator.ingest.mosaic.run import find_companions
from orchestrator.ingest.settings import Settings
from orchestrator.ingest.simulate.mosaic import list_stimuli, plant_subject, simulate_mosaic
from orchestrator.ingest.simulate.mosaic_ground_truth import MosaicSimulation, PlantedArea
from orchestrator.ingest.writer import write_subject
from tests.builders.refused_ingest import CURES
from trainables.data.data_directory import DataDirectory
from trainables.data.shards import Manifest

SETTINGS = MosaicSimulation(
    subjects=(1,), n_images=20, n_shared=6, n_artificial=2, image_size=32, datasets=("NSD",)
)
KEY = SubjectKey("sub-01", "NSD")
SIZE = 8


@dataclass(frozen=True)
class MosaicFolder:
    """A folder of one simulated subject of NSD."""

    root: Path

    @property
    def file(self) -> Path:
        return self.root / f"{KEY.name}.hdf5"

    @property
    def table(self) -> Path:
        return self.root / "stimulus_info/nsd_stiminfo.tsv"

    @property
    def atlas(self) -> Path:
        return self.root / "atlas/mmp_1.0.npz"

    @property
    def images(self) -> Path:
        return self.root / "stimuli/NSD"

    def split_list(self, name: str) -> Path:
        return self.root / f"splits/{name}.json"

    def opened(self) -> h5py.File:
        """Open the file to change it; it is a copy by then."""
        return h5py.File(self.file, "r+")

    def first_trial(self) -> str:
        """Name a trial of the training phase."""
        with h5py.File(self.file) as file:
            return min(name for name in file["betas"] if "phase-train" in name)


@dataclass
class Planted:
    """What is planted in a subject of SETTINGS, by stimulus id."""

    areas: dict[str, dict[str, PlantedArea]]
    rows: dict[str, int] = field(default_factory=dict)


@cache
def planted() -> Planted:
    stimuli = list_stimuli(KEY, SETTINGS)
    _, areas = plant_subject(KEY, stimuli, SETTINGS)
    names = [
        f"nsdsynthetic-{Path(one.file).stem}"
        if one.phase == "artificial"
        else f"nsd-{one.number:05d}"
        for one in stimuli
    ]
    return Planted(areas, {name: row for row, name in enumerate(names)})


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> MosaicFolder:
    """A simulated folder; a test that changes it takes a copy."""
    root = tmp_path_factory.mktemp("mosaic") / "source"
    simulate_mosaic(root, SETTINGS)
    return MosaicFolder(root)


@pytest.fixture
def folder(source, tmp_path) -> MosaicFolder:
    return MosaicFolder(
        Path(shutil.copytree(source.root, tmp_path / "source", copy_function=_copy))
    )


def _copy(source: str, target: str) -> None:
    """Copy what tests change in place, and link the rest."""
    if source.endswith((".jpg", ".npz")):
        os.link(source, target)
    else:
        shutil.copyfile(source, target)


def found(
    root: Path, files: tuple[Path, ...] = (), given: CompanionOptions | None = None, **choices
) -> list[MosaicFiles]:
    chosen = MosaicChoices(**choices)
    companions = find_companions(root, given or CompanionOptions(), chosen)
    return find_subjects(files or (root,), None, companions, chosen)


def inspect(files: MosaicFiles, findings: Findings | None = None) -> Subject:
    """Check a subject in which nothing is wrong."""
    findings = findings or Findings()
    looked: list[int] = []
    checked = inspect_mosaic_subject(files, files.choices.split, findings, looked.append)
    assert findings.complaints == []
    assert checked is not None
    assert sum(looked) == len(checked.images) == files.count_images()
    return checked


def batches(subject: Subject) -> Iterator[tuple[int, pa.Array]]:
    """Decode without Ray."""
    raw = [decode_image(image, SIZE).tobytes() for image in subject.images]
    yield 0, pa.array(raw, pa.binary(3 * SIZE * SIZE))


def write(subject: Subject, files: MosaicFiles, out: Path) -> Manifest:
    settings = Settings(files.choices.split, SIZE, files.choices.record())
    return write_subject(subject, batches(subject), DataDirectory(out), settings)


def trials_of(path: Path, stimulus: str) -> np.ndarray:
    """Read all trials of a stimulus' file, with h5py alone: (n_trials, n_grayordinates)."""
    with h5py.File(path) as file:
        betas = file["betas"]
        shown = [name for name in betas if f"_stimulus-{Path(stimulus).stem}_" in name]
        return np.stack([betas[name][()] for name in sorted(shown)])


def refused_line(folder: MosaicFolder, capsys, *options: str) -> str:
    """Run the command, which must refuse in one line with a cure and write nothing."""
    out = folder.root.parent / "data"
    assert main(["mosaic", str(folder.root), "--out", str(out), *options]) == 2
    assert not out.exists()
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    assert shown.out == ""
    (line,) = [line for line in shown.err.splitlines() if line.startswith("error: ")]
    assert any(cure in re.split("[;:]", line)[-1] for cure in CURES)
    return line
