"""The files of a simulation: the Algonauts layouts, what is planted in them, and refusals."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orchestrator.ingest.simulate.algonauts import (
    SimulationSettings,
    choose_stimuli,
    noise_ceiling_file,
    plant,
    simulate,
)
from orchestrator.ingest.simulate.cortex import N_FSAVERAGE, build_cortex
from orchestrator.ingest.simulate.scenes import compose, render
from tests.builders.leftovers import leftovers
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES

SETTINGS = SimulationSettings(
    subjects=(1, 2), n_images=12, n_shared=4, n_test_images=2, image_size=32
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    out = tmp_path_factory.mktemp("simulated") / "source"
    simulate(out, SETTINGS)
    return out


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def load_mapping(path: Path) -> dict[int, str]:
    return np.load(path, allow_pickle=True).item()


def numbers(folder: Path) -> dict[int, Path]:
    return {int(path.stem.split("nsd-")[1]): path for path in folder.glob("*.png")}


def test_images_are_named_as_the_challenge_names_them_in_order_of_their_numbers(source):
    names = sorted(p.name for p in (source / "subj01/training_split/training_images").iterdir())
    assert len(names) == 12
    found = [re.fullmatch(r"train-(\d{4})_nsd-(\d{5})\.png", name).groups() for name in names]
    assert [int(place) for place, _ in found] == list(range(1, 13))
    assert [int(nsd) for _, nsd in found] == sorted({int(nsd) for _, nsd in found})


def test_test_images_have_no_responses_and_are_not_training_images(source):
    test = numbers(source / "subj01/test_split/test_images")
    assert len(test) == 2
    assert not test.keys() & numbers(source / "subj01/training_split/training_images").keys()
    assert not list((source / "subj01/test_split").rglob("*.npy"))


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_responses_masks_and_ceilings_have_one_vertex_count(source, hemisphere):
    fmri = source / f"subj01/training_split/training_fmri/{hemisphere}_training_fmri.npy"
    responses, masks = np.load(fmri), source / "subj01/roi_masks"
    n_vertices = responses.shape[1]
    assert responses.dtype == np.float32
    assert responses.shape[0] == 12
    for family in ROI_FAMILIES:
        assert np.load(masks / f"{hemisphere}.{family}_challenge_space.npy").shape == (n_vertices,)
    everywhere = np.load(masks / f"{hemisphere}.all-vertices_fsaverage_space.npy")
    assert everywhere.shape == (N_FSAVERAGE,)
    assert everywhere.sum() == n_vertices
    ceiling = np.load(noise_ceiling_file(source, 1, hemisphere))
    assert ceiling.shape == (n_vertices,)
    assert ceiling.dtype == np.float32


@pytest.mark.parametrize("family", ROI_FAMILIES)
def test_mappings_name_every_roi_of_their_family(source, family):
    names = load_mapping(source / f"subj02/roi_masks/mapping_{family}.npy")
    assert tuple(names[k].strip() for k in range(1, len(names))) == ROI_FAMILIES[family]


def test_some_names_have_trailing_white_space(source):
    paths = sorted((source / "subj01/roi_masks").glob("mapping_*.npy"))
    assert len(paths) == len(ROI_FAMILIES)
    names = [name for path in paths for name in load_mapping(path).values()]
    assert any(name != name.strip() for name in names)


def test_the_other_layout_holds_the_same_files(source, tmp_path):
    out = tmp_path / "split-first"
    simulate(out, replace(SETTINGS, layout="split-first"))
    for ours, theirs in (
        ("subj02/training_split/training_images", "training_images/Subj2"),
        ("subj02/test_split/test_images", "test_images/Subj2"),
        ("subj02/roi_masks", "roi_masks/Subj2"),
    ):
        assert hashes(source / ours) == hashes(out / theirs)
    first = source / "subj02/training_split/training_fmri/rh_training_fmri.npy"
    second = out / "training_fmri/Subj2/subj2_rh_training_fmri.npy"
    assert first.read_bytes() == second.read_bytes()


def test_the_same_settings_give_the_same_bytes(source, tmp_path):
    simulate(tmp_path / "again", SETTINGS)
    assert hashes(source) == hashes(tmp_path / "again")
    assert len(hashes(source)) == 1 + 2 * (14 + 2 + 2 + 14 + 6)


def test_another_seed_gives_other_images_and_responses(source, tmp_path):
    simulate(tmp_path / "other", replace(SETTINGS, subjects=(1,), seed=1))
    one, other = hashes(source), hashes(tmp_path / "other")
    for name in ("training_fmri/lh_training_fmri.npy", "training_fmri/rh_training_fmri.npy"):
        assert one[f"subj01/training_split/{name}"] != other[f"subj01/training_split/{name}"]


def test_adding_a_subject_leaves_the_others_as_they_are(source, tmp_path):
    simulate(tmp_path / "alone", replace(SETTINGS, subjects=(2,)))
    assert hashes(source / "subj02") == hashes(tmp_path / "alone/subj02")


def test_shared_images_have_the_same_number_and_pixels_for_every_subject(source):
    one, two = (numbers(source / f"subj0{k}/training_split/training_images") for k in (1, 2))
    shared = one.keys() & two.keys()
    assert len(shared) == SETTINGS.n_shared
    for number in shared:
        assert one[number].read_bytes() == two[number].read_bytes()


def test_an_image_file_holds_the_scene_of_its_number(source):
    number, path = min(numbers(source / "subj01/training_split/training_images").items())
    expected = render(compose(SETTINGS.seed, number), SETTINGS.image_size)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), expected)


def test_row_i_is_the_response_to_image_i(source):
    training, _ = choose_stimuli(1, SETTINGS)
    scenes = [compose(SETTINGS.seed, number) for number in training.tolist()]
    images = [render(scene, SETTINGS.image_size) for scene in scenes]
    planted = plant(1, scenes, images, SETTINGS)
    for hemisphere, (_, responses) in planted.items():
        fmri = source / f"subj01/training_split/training_fmri/{hemisphere}_training_fmri.npy"
        np.testing.assert_array_equal(np.load(fmri), responses.measured)


def test_permuted_responses_are_the_same_rows_in_an_order_unrelated_to_the_images(tmp_path):
    settings = replace(SETTINGS, subjects=(1,), n_images=100, n_shared=0)
    name = "subj01/training_split/training_fmri/lh_training_fmri.npy"
    simulate(tmp_path / "plain", settings)
    simulate(tmp_path / "permuted", replace(settings, permute_responses=True))
    plain, permuted = (np.load(tmp_path / kind / name) for kind in ("plain", "permuted"))
    np.testing.assert_array_equal(np.sort(plain, axis=0), np.sort(permuted, axis=0))
    early = build_cortex(0, 1, "lh").members("V1v")
    assert abs(np.mean(plain[:, early] * permuted[:, early])) < 0.1


def test_one_roi_has_four_vertices_and_others_many():
    cortex = build_cortex(0, 1, "lh")
    sizes = {roi: len(cortex.members(roi)) for rois in ROI_FAMILIES.values() for roi in rois}
    assert sizes["aTL-faces"] == 4
    assert all(70 <= sizes[roi] <= 135 for roi in ROI_FAMILIES["prf-visualrois"])


@pytest.mark.parametrize("hemisphere", HEMISPHERES)
def test_an_roi_is_empty_in_one_subject_only(hemisphere):
    sizes = [len(build_cortex(0, k, hemisphere).members("mTL-bodies")) for k in (1, 2, 3)]
    assert sizes == [6, 0, 6]


def test_a_subject_has_fewer_vertices_than_the_others():
    one, two, three = (build_cortex(0, k, "lh").n_vertices for k in (1, 2, 3))
    assert one == two == three + 13


@pytest.mark.parametrize("pair", [("FFA-1", "FBA-1"), ("hV4", "OWFA"), ("V1v", "early")])
def test_rois_overlap(pair):
    cortex = build_cortex(0, 1, "rh")
    first, second = (set(cortex.members(roi).tolist()) for roi in pair)
    assert first & second
    assert first - second
    assert len(cortex.members(pair[1])) > 0


def test_every_cortex_has_room_for_its_rois():
    cortices = [build_cortex(s, k, h) for s in range(5) for k in range(1, 9) for h in HEMISPHERES]
    assert len(cortices) == 80
    assert all(cortex.home.count(None) > 10 for cortex in cortices)
    assert all(len(cortex.fsaverage) == cortex.n_vertices for cortex in cortices)


def test_a_finished_simulation_is_left_alone(source):
    before = {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    simulate(source, SETTINGS)
    assert before == {path: path.stat().st_mtime_ns for path in source.rglob("*")}
    assert json.loads((source / "simulation.json").read_text())["n_images"] == 12


def test_other_settings_in_the_same_place_are_refused_with_both_named(source):
    with pytest.raises(ValueError, match=r'"seed": 0.*asked for.*"seed": 7.*another --out'):
        simulate(source, replace(SETTINGS, seed=7))


def test_a_directory_with_other_content_is_refused_and_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="found other files"):
        simulate(tmp_path, SETTINGS)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ValueError, match="expected a new or empty directory"):
        simulate(tmp_path / "out", SETTINGS)


def test_what_a_stopped_run_left_is_replaced(tmp_path):
    kept, gone = leftovers("out")
    for name in (*kept, *gone):
        (tmp_path / name / "subj01").mkdir(parents=True)
    simulate(tmp_path / "out", replace(SETTINGS, subjects=(3,)))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "out"])
    assert not (tmp_path / "out/subj01").exists()
    assert (tmp_path / "out/subj03").is_dir()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subjects": ()}, "subjects"),
        ({"subjects": (1, 9)}, "from 1 to 8"),
        ({"subjects": (2, 2)}, "ascending"),
        ({"n_shared": 13}, "no more shared ones"),
        ({"n_images": 1, "n_shared": 0}, "at least 2 images"),
        ({"n_images": 9000}, "at most 8111"),
        ({"n_test_images": -1}, "n_test_images"),
        ({"image_size": 31}, "at least 32"),
        ({"noise_ceiling": (0.8, 0.6)}, "range"),
        ({"layout": "flat"}, "split-first"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **change)
