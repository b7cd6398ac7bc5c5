"""Every layout from its simulated source to scores: the planted signal is found in V1.

The backbone measures what the planted V1 responds to, so that its scores come near the noise
ceilings wherever images, responses, ROIs and splits fit together, and only there.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from orchestrator.ingest.__main__ import main
from orchestrator.ingest.simulate.nsd_betas import write_betas
from orchestrator.ingest.simulate.nsd_integers import write_hdf5
from tests.builders import nod_folder
from tests.builders.layout_scores import (
    Scored,
    ingest_and_score,
    shuffle_presentations,
    without_ray,
)
from tests.builders.nsd_folder import betas_folder
from tests.builders.refused_ingest import errors_of

N_IMAGES = 120
SPACES = ("--spaces", "fsaverage,nativesurface,func1pt8mm")
SOURCES = {
    "nsd": ("nsd", ("--shared", "40")),
    "folder": ("folder", ()),
    "undivided": ("folder", ("--undivided",)),
    "mosaic": ("mosaic", ("--shared", "40")),
    "algonauts": ("subject-first", ("--shared", "40")),
    "nod": ("nod", ()),
}
"""The layout of each simulated source, and the options of the simulation."""


@dataclass(frozen=True)
class Case:
    """How a source is ingested, and what its scores must have."""

    source: str
    command: str
    options: tuple[str, ...] = ()
    sides: tuple[str, ...] = ("lh", "rh")
    rois: tuple[str, ...] = ("V1d", "V1v")
    ceiling: float | None = None
    """The mean noise ceiling of the simulation where the source holds none."""


CASES = {
    "nsd fsaverage": Case("nsd", "nsd"),
    "nsd single trials": Case("nsd", "nsd", ("--repeats", "rows")),
    "nsd native surface": Case("nsd", "nsd", ("--space", "nativesurface")),
    "nsd volume": Case("nsd", "nsd", ("--space", "func1pt8mm")),
    "folder": Case("folder", "folder"),
    "folder without hemispheres": Case("undivided", "folder", sides=("both",)),
    "mosaic": Case("mosaic", "mosaic", rois=("V1",)),
    "algonauts": Case("algonauts", "algonauts", ("--noise-ceiling", "SRC/noise_ceilings")),
    "nod": Case("nod", "nod", rois=("V1",), ceiling=0.7),
}
CONTROLS = ("nsd fsaverage", "folder", "mosaic", "algonauts", "nod")
"""One case for each kind of responses: other spaces hold the same ones."""
SHARE = 0.5
"""The least share of the mean noise ceiling that the backbone reaches; 0.65 to 0.8 are usual."""
CHANCE = 0.1
"""The highest mean r of shuffled responses; over seeds it has a standard deviation of 0.02."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with without_ray():
        yield tmp_path_factory.mktemp("layouts")


def source_of(home: Path, name: str, *, shuffled: bool = False) -> Path:
    """Simulate a source of one subject, unless it is there."""
    source = home / f"{name}-shuffled" if shuffled else home / name
    if source.exists():
        return source
    layout, options = SOURCES[name]
    is_folder = layout == "folder"
    control = ("--permute-responses",) if shuffled and not is_folder else ()
    spaces = SPACES if layout == "nsd" and not shuffled else ()
    sizes = ("--subjects", "1", "--n-images", str(N_IMAGES), "--image-size", "32")
    command = [
        "simulate",
        "--layout",
        layout,
        "--out",
        str(source),
        *sizes,
        *options,
        *spaces,
        *control,
    ]
    assert main(command) == 0
    if shuffled and is_folder:
        shuffle_presentations(source)
    return source


def scored(home: Path, name: str, *, shuffled: bool = False) -> Scored:
    case = CASES[name]
    source = source_of(home, case.source, shuffled=shuffled)
    options = [option.replace("SRC", str(source)) for option in case.options]
    out = home / f"{name} {'shuffled' if shuffled else 'scored'}"
    return ingest_and_score(case.command, source, out, *options)


@pytest.fixture(scope="module")
def scores(home) -> dict[str, Scored]:
    """The scores of all cases."""
    return {name: scored(home, name) for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_planted_signal_is_scored_near_the_noise_ceiling(name, scores) -> None:
    case, found = CASES[name], scores[name]
    vertices = found.vertices
    assert sorted(vertices["hemisphere"].astype(str).unique()) == sorted(case.sides)
    assert sorted(vertices["roi"].astype(str).unique()) == sorted(case.rois)
    assert len(vertices) == sum(
        n for rois in found.manifest.rois.values() for roi, n in rois.items() if roi in case.rois
    )
    assert vertices["is_simulated"].all()
    assert vertices["noise_ceiling"].isna().all() == (case.ceiling is not None)
    ceiling = case.ceiling or vertices["noise_ceiling"].mean()
    assert SHARE * ceiling < found.mean_r < ceiling
    for _, of_roi in vertices.groupby(["hemisphere", "roi"], observed=True):
        assert of_roi["r"].mean() > SHARE / 2 * ceiling


@pytest.mark.parametrize("name", CONTROLS)
def test_shuffled_responses_are_scored_at_chance(name, home) -> None:
    assert abs(scored(home, name, shuffled=True).mean_r) < CHANCE


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("nsd fsaverage", "nsd native surface"),
        ("nsd fsaverage", "nsd volume"),
        ("folder", "folder without hemispheres"),
    ],
)
def test_a_subject_has_the_same_scores_in_every_space(one, other, scores) -> None:
    """The vertices are in another order, and integers round the responses."""
    first, second = (np.sort(scores[name].vertices["r"]) for name in (one, other))
    np.testing.assert_allclose(first, second, atol=0.01)


def test_a_subject_scores_alike_with_single_trials_and_with_their_means(scores) -> None:
    """Most images have three trials, which a fit weighs alike; r is measured on means in both."""
    trials, means = (scores[name] for name in ("nsd single trials", "nsd fsaverage"))
    assert trials.manifest.n_trials > 2 * trials.manifest.n_train
    assert means.manifest.n_trials is None
    assert abs(trials.mean_r - means.mean_r) < 0.02


def betas_of(source: Path, space: str) -> Path:
    return betas_folder(source).parents[1] / space / betas_folder(source).name


def transposed_array(path: Path) -> None:
    values = np.load(path)
    path.unlink()
    np.save(path, values.T)


def transposed_mesh(path: Path) -> None:
    path.unlink()
    write_betas(path, np.ones((10_242, 60), np.float32))


def rewritten(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with h5py.File(path) as file:
            betas = file["betas"][:]
        path.unlink()
        write_hdf5(path, change(betas))

    return damage


def trial_as_column(path: Path) -> None:
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        name = min(file["betas"])
        values, attributes = file["betas"][name][:], dict(file["betas"][name].attrs)
        del file["betas"][name]
        file["betas"].create_dataset(name, data=values[:, None]).attrs.update(attributes)


def exchanged_axes(path: Path) -> None:
    values, rows, columns = nod_folder.read(path)
    path.unlink()
    nod_folder.write(path, values.T, columns, rows)


WRONG_AXES = {
    "nsd fsaverage": (
        lambda source: betas_folder(source) / "lh.betas_session02.mgh",
        transposed_mesh,
    ),
    "nsd native surface": (
        lambda source: betas_of(source, "nativesurface") / "rh.betas_session02.hdf5",
        rewritten(np.transpose),
    ),
    "nsd volume": (
        lambda source: betas_of(source, "func1pt8mm") / "betas_session02.hdf5",
        rewritten(lambda betas: betas.swapaxes(1, 3)),
    ),
    "folder": (lambda source: source / "sub-01/responses.npy", transposed_array),
    "folder without hemispheres": (
        lambda source: source / "sub-01/responses.npy",
        transposed_array,
    ),
    "mosaic": (lambda source: source / "sub-01_NSD.hdf5", trial_as_column),
    "algonauts": (
        lambda source: source / "subj01/training_split/training_fmri/lh_training_fmri.npy",
        transposed_array,
    ),
    "nod": (lambda source: nod_folder.NodFolder(source).betas(2, 1), exchanged_axes),
}


@pytest.mark.parametrize("name", [name for name in CASES if name != "nsd single trials"])
def test_axes_in_another_order_are_refused_in_a_line(name, home, tmp_path, capsys) -> None:
    case, (find, damage) = CASES[name], WRONG_AXES[name]
    source = tmp_path / "source"
    shutil.copytree(source_of(home, case.source), source, copy_function=os.link)
    damage(find(source))
    options = [option.replace("SRC", str(source)) for option in case.options]
    capsys.readouterr()
    out = tmp_path / "data"
    lines = errors_of([case.command, source, "--out", out, *options], capsys)
    assert len(lines) == 1, lines
    assert str(find(source)) in lines[0]
    assert not out.exists()
