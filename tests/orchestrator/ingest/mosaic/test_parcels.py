"""Areas of the atlas: the same grayordinates from every kind of file."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis

from orchestrator.cli.errors import InputError
from orchestrator.ingest.mosaic.areas import VISUAL_AREAS, VISUAL_GROUPS
from orchestrator.ingest.mosaic.grayordinates import FIRST, N_CORTEX
from orchestrator.ingest.mosaic.parcels import Parcels, read_parcels
from orchestrator.ingest.nod.cifti import STRUCTURES
from orchestrator.ingest.simulate.mosaic_ground_truth import build_atlas
from orchestrator.ingest.simulate.surface import N_MESH
from tests.builders.mosaic_folder import SETTINGS
from tests.builders.nod_folder import write
from trainables.spec.rois import HEMISPHERES

N_CORTICAL = sum(N_CORTEX.values())


def columns(found: Parcels) -> dict[str, list[int]]:
    return {
        f"{side}-{area}": places.tolist()
        for side, areas in found.columns.items()
        for area, places in areas.items()
    }


@pytest.fixture(scope="module")
def labels(source) -> np.ndarray:
    return np.load(source.atlas)["map_all"]


@pytest.fixture(scope="module")
def expected(source) -> Parcels:
    return read_parcels(source.atlas, ("visual",))


def dlabel(path: Path, labels: np.ndarray, *, whole_mesh: bool = False, named: bool = True) -> Path:
    """Write labels of the cortex as CIFTI, on the grayordinates or on all of the mesh."""
    axis, values = None, []
    for side in HEMISPHERES:
        vertices = build_atlas(SETTINGS.seed, side).vertices
        own = labels[FIRST[side] :][: N_CORTEX[side]]
        if whole_mesh:
            own = np.bincount(vertices, own, N_MESH)
            vertices = np.arange(N_MESH)
        model = BrainModelAxis.from_surface(vertices, N_MESH, name=STRUCTURES[side])
        axis = model if axis is None else axis + model
        values.append(own)
    names = {key: area for area, key in VISUAL_AREAS.items()}
    table = {0: ("???", (0, 0, 0, 0))}
    for key in range(1, 361):
        area = names.get((key - 1) % 180 + 1, f"a{key}")
        table[key] = (f"{'LR'[key > 180]}_{area}_ROI" if named else str(key), (0, 0, 0, 1))
    write(path, np.concatenate(values)[None], LabelAxis(["areas"], [table]), axis)
    return path


@pytest.mark.parametrize("options", [{}, {"whole_mesh": True, "named": False}])
def test_a_dlabel_file_gives_the_same_columns_and_vertices(
    labels, expected, tmp_path, options
) -> None:
    found = read_parcels(dlabel(tmp_path / "a.dlabel.nii", labels, **options), ("visual",))
    assert columns(found) == columns(expected)
    for side in HEMISPHERES:
        np.testing.assert_array_equal(found.vertices[side], expected.vertices[side])


@pytest.mark.parametrize("n", [N_CORTICAL, None])
def test_a_mat_file_gives_the_same_columns_without_vertices(labels, expected, tmp_path, n) -> None:
    path = tmp_path / "mmp.mat"
    below = np.arange(len(labels)) >= N_CORTICAL
    scipy.io.savemat(path, {"glasser_MMP": np.where(below, 0, labels)[None, :n]})
    found = read_parcels(path, ("visual",))
    assert columns(found) == columns(expected)
    assert found.vertices is None
    with pytest.raises(InputError, match="its labels have no names"):
        read_parcels(path, ("all",))


def test_columns_are_those_of_the_labels(labels, expected) -> None:
    assert [len(areas) for areas in VISUAL_GROUPS.values()] == [1, 3, 6, 7, 9]
    for area, key in VISUAL_AREAS.items():
        for side, raised in (("lh", 0), ("rh", 180)):
            places = np.flatnonzero(labels == key + raised)
            np.testing.assert_array_equal(expected.columns[side][area], places)


def test_all_areas_cover_the_cortex_once(source) -> None:
    found = read_parcels(source.atlas, ("all",))
    assert [len(found.columns[side]) for side in HEMISPHERES] == [180, 180]
    everything = np.sort(np.concatenate([p for a in found.columns.values() for p in a.values()]))
    np.testing.assert_array_equal(everything, np.arange(N_CORTICAL))


def test_labels_of_the_other_hemisphere_are_refused(source, labels, tmp_path) -> None:
    swapped = np.where(labels <= 180, labels + 180, labels - 180)
    np.savez(tmp_path / "mmp.npz", **(dict(np.load(source.atlas)) | {"map_all": swapped}))
    with pytest.raises(InputError, match="labels that name the other hemisphere, R_"):
        read_parcels(tmp_path / "mmp.npz", ("visual",))


def test_an_atlas_without_some_grayordinates_is_refused(labels, tmp_path) -> None:
    labels = np.where(np.arange(len(labels)) == 5, 0, labels)
    path = dlabel(tmp_path / "a.dlabel.nii", labels, whole_mesh=True)
    with pytest.raises(InputError, match=r"expected labels of the 29,696 grayordinates of lh, fou"):
        read_parcels(path, ("visual",))
