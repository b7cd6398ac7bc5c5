"""ROIs of a NOD subject: from an atlas or .mat files, by name or by key."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.stats
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nod.atlas import read_atlas
from orchestrator.ingest.nod.cifti import Grayordinates
from tests.builders.nod_folder import (
    NodFolder,
    read,
    relabel,
    write,
)
from tests.builders.nod_ingest import inspect, same


def labels_of(folder: NodFolder) -> np.ndarray:
    return read(folder.atlas)[0][0].astype(int)


def mat(folder: NodFolder, labels: np.ndarray, name: str = "glasser_MMP", **more) -> Path:
    path = folder.root.parent / "MMP_mpmLR32k.mat"
    scipy.io.savemat(path, {name: labels[None, :], **more})
    return path


def swapped(key: int) -> int:
    """Number the right hemisphere first, as the atlas's first release does."""
    return 0 if key == 0 else key + 180 if key <= 180 else key - 180


def test_a_mat_file_of_the_cortex_or_of_all_grayordinates_gives_the_same_rois(folder) -> None:
    before, labels = inspect(folder.root), labels_of(folder)
    cortex = mat(folder, labels, other=np.arange(len(labels) + 1))
    assert same(inspect(folder.root, atlas=cortex), before)
    assert same(inspect(folder.root, atlas=mat(folder, labels, "atlas")), before)
    # As long as the pRF file, which has the subcortex too.
    everywhere = mat(folder, np.concatenate([labels, np.zeros(12)]))
    assert same(inspect(folder.root, atlas=everywhere), before)


@pytest.mark.parametrize("name", [str, lambda _: "LABEL_7", lambda _: "???"])
def test_a_dlabel_is_read_by_names_or_else_by_keys_of_either_numbering(folder, name) -> None:
    before = inspect(folder.root)
    relabel(folder.atlas, swapped, name)
    assert same(inspect(folder.root), before)


VISUAL_AREAS = {1: "V1v", 2: "V1d", 3: "V2v", 4: "V2d", 5: "V3v", 6: "V3d", 7: "hV4"}


@pytest.mark.parametrize(
    ("keys", "names", "found"),
    [
        # 25 probabilistic areas have keys alike in both hemispheres: 4, HCP-MMP's V2, is V2d.
        (lambda k: (k - 1) % 180 + 1, lambda k: VISUAL_AREAS.get(k, "FEF"), "found V1v, "),
        (lambda k: k, lambda k: f"area L_V{k}_ROI", "found area L_V"),
        (lambda k: k, lambda _: "17Networks_LH_VisCent_1", "found 17Networks_LH_VisCent_1"),
        (lambda k: k, lambda k: "?" if k % 180 > 4 else "hOc1", "found hOc1"),
        (lambda k: (k - 1) % 180 + 1, lambda _: "?", "both hemispheres have labels up to 180"),
        (lambda k: (k - 1) % 180 + 181, lambda _: "?", "both hemispheres have labels above 180"),
    ],
)
def test_another_parcellation_is_never_read_by_its_keys(folder, keys, names, found) -> None:
    values, _, columns = read(folder.atlas)
    values = np.where(values > 0, np.vectorize(keys)(values.astype(int)), 0)
    table = {int(k): (names(int(k)), (0, 0, 0, 0)) for k in np.unique(values[values > 0])}
    table[0] = ("???", (0, 0, 0, 0))
    write(folder.atlas, values, LabelAxis(["areas"], [table]), columns)
    with pytest.raises(InputError, match=found) as refused:
        read_atlas(folder.atlas, [])
    assert str(folder.atlas) in str(refused.value)


def test_the_numbers_of_the_areas_are_those_of_the_atlas(tmp_path) -> None:
    """Labels without vertices or names, over columns of which the first are not of the cortex."""
    labels = [9, 9, 1, 4, 5, 6, 2, 181, 184, 185, 186, 360]
    path = tmp_path / "labels.mat"
    left, right = np.arange(2, 7, dtype=np.int32), np.arange(7, 12, dtype=np.int32)
    places = Grayordinates(12, {"lh": left, "rh": right}, {"lh": 10 * left, "rh": 10 * right})
    expected = {
        "lh": {"V1": [20], "V2": [30], "V3": [40], "V4": [50]},
        "rh": {"V1": [70], "V2": [80], "V3": [90], "V4": [100]},
    }
    for array in (labels, labels[2:]):
        scipy.io.savemat(path, {"glasser_MMP": np.array(array)})
        found = read_atlas(path, [places])
        assert {
            side: {roi_name: vertices.tolist() for roi_name, vertices in roi_names.items()}
            for side, roi_names in found.items()
        } == expected


def test_names_go_before_keys(folder) -> None:
    before = inspect(folder.root)
    relabel(folder.atlas, lambda key: key and 1000 - key, lambda name: name)
    assert same(inspect(folder.root), before)


def test_an_atlas_of_the_whole_mesh_is_read_where_the_betas_are(folder) -> None:
    before = inspect(folder.root)
    values, rows, columns = read(folder.atlas)
    whole = BrainModelAxis.from_surface(np.arange(32_492), 32_492, "CortexLeft")
    whole += BrainModelAxis.from_surface(np.arange(32_492), 32_492, "CortexRight")
    labels = np.zeros((1, len(whole)))
    left = np.count_nonzero(columns.name == "CIFTI_STRUCTURE_CORTEX_LEFT")
    labels[0, columns.vertex[:left]] = values[0, :left]
    labels[0, 32_492 + columns.vertex[left:]] = values[0, left:]
    write(folder.atlas, labels, rows, whole)
    assert same(inspect(folder.root), before)
