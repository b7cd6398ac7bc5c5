"""Reading a sound NOD folder."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.io
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.errors import InputError
from orchestrator.ingest.checked import Subject
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.nod.files import find_subjects
from orchestrator.ingest.nod.selection import best
from orchestrator.ingest.nod.trials import read_label_file, stimulus_of
from orchestrator.ingest.settings import NodChoices, Settings
from orchestrator.ingest.splits import stimulus_fraction
from orchestrator.ingest.writer import read_existing
from tests.builders.checked_layout import require_checked
from tests.builders.nod_folder import (
    N_TRIALS,
    RUNS,
    NodFolder,
    add_subcortex,
    planted,
    read,
)
from tests.builders.nod_ingest import SIZE, ingest, inspect, same
from trainables.data.data_directory import VERTICES, DataDirectory
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest, list_rois, read_vertices
from trainables.spec.rois import (
    HEMISPHERES,
    NOD_ROIS,
    roi_group_of,
)


def best_by_hand(half, top: int) -> dict[str, list[int]]:
    """List the mesh vertices that are kept, sorting (R², place) pairs in plain Python."""
    chosen = {}
    for roi_name in NOD_ROIS:
        places = [place for place, area in enumerate(half.surface.area) if area == roi_name]
        ranked = sorted(places, key=lambda place: (-half.prf[3, place], place))[:top]
        chosen[roi_name] = sorted(int(half.surface.vertices[place]) for place in ranked)
    return chosen


def kept_betas(subject: Subject, hemisphere: str) -> np.ndarray:
    """Pick the planted betas of the vertices that were kept."""
    half, kept = planted()[hemisphere], subject.hemispheres[hemisphere].coordinates["fslr"]
    return half.betas[:, np.searchsorted(half.surface.vertices, kept)]


def by_run(values: np.ndarray, function) -> np.ndarray:
    return np.concatenate([function(part) for part in np.split(values, len(RUNS))])


def test_cifti_files_hold_what_is_planted(source) -> None:
    halves = planted()
    for place, (session, number) in enumerate(RUNS):
        values, rows, columns = read(NodFolder(source).betas(session, number))
        trials = slice(place * N_TRIALS, (place + 1) * N_TRIALS)
        expected = np.concatenate([halves[side].betas[trials] for side in HEMISPHERES], axis=1)
        np.testing.assert_array_equal(values, expected)
        assert list(rows.name) == NodFolder(source).labels(session, number).read_text().split()
        for side, name in zip(HEMISPHERES, ("LEFT", "RIGHT"), strict=True):
            there = columns.vertex[columns.name == f"CIFTI_STRUCTURE_CORTEX_{name}"]
            np.testing.assert_array_equal(there, halves[side].surface.vertices)


@pytest.mark.parametrize("side", HEMISPHERES)
def test_each_vertex_is_z_scored_within_each_run(source, side) -> None:
    subject = inspect(source)
    found = subject.responses()[side]
    assert found.dtype == np.float32
    oracle = by_run(kept_betas(subject, side), partial(scipy.stats.zscore, axis=0))
    np.testing.assert_allclose(found, oracle, atol=2e-5)
    # Runs only scaled and shifted the planted responses: nothing of that is left.
    half, kept = planted()[side], subject.hemispheres[side].coordinates["fslr"]
    before = half.responses[:, np.searchsorted(half.surface.vertices, kept)]
    undisturbed = by_run(before, partial(scipy.stats.zscore, axis=0))
    np.testing.assert_allclose(found, undisturbed, atol=1e-4)


@pytest.mark.parametrize("side", HEMISPHERES)
def test_a_run_matrix_is_z_scored_over_all_of_its_cortex(folder, side) -> None:
    for session, number in RUNS:
        add_subcortex(folder.betas(session, number))  # which must not count
    subject = inspect(folder.root, zscore="run-matrix")
    cortex = np.concatenate([planted()[name].betas for name in HEMISPHERES], axis=1)
    means = by_run(cortex, lambda run: np.full((N_TRIALS, 1), run.mean(dtype=float)))
    spreads = by_run(cortex, lambda run: np.full((N_TRIALS, 1), run.std(dtype=float)))
    oracle = by_run(cortex.astype(float), partial(scipy.stats.zscore, axis=None))
    np.testing.assert_allclose((cortex - means) / spreads, oracle, atol=1e-5)
    found = subject.responses()[side]
    np.testing.assert_allclose(found, (kept_betas(subject, side) - means) / spreads, atol=1e-5)
    assert np.abs(found.mean(axis=0)).max() > 0.1  # a vertex alone is not centred


@pytest.mark.parametrize("top", [1, 7, 50, 1000])
def test_the_vertices_of_the_highest_r2_are_kept_and_all_where_there_are_fewer(source, top) -> None:
    subject, halves = inspect(source, top=top), planted()
    for side, half in subject.hemispheres.items():
        expected = best_by_hand(halves[side], top)
        assert {
            roi_name: half.coordinates["fslr"][places].tolist()
            for roi_name, places in half.regions.items()
        } == expected
        assert half.n_vertices == sum(map(len, expected.values()))
        assert half.fsaverage is None
        stored = dict(zip(halves[side].surface.vertices, halves[side].prf[3], strict=True))
        np.testing.assert_array_equal(
            half.coordinates["prf_r2"], [stored[vertex] for vertex in half.coordinates["fslr"]]
        )
    assert len(inspect(source).hemispheres["lh"].regions["V4"]) == 44


@given(
    st.lists(st.sampled_from([float("nan"), 0.0, 1.5, 2.5, 40.0]), max_size=12),
    st.integers(1, 14),
)
def test_no_vertex_that_is_left_out_is_better_than_one_that_is_kept(values, top) -> None:
    r2, places = np.array(values, np.float32), np.arange(len(values))
    kept = best(r2, places, top)
    measured = [place for place in places if not np.isnan(r2[place])]
    assert kept.tolist() == sorted(sorted(measured, key=lambda k: (-r2[k], k))[:top])


def test_rows_pair_each_trial_with_its_image(source, tmp_path) -> None:
    ingest(source, tmp_path)
    subject = inspect(source)
    (table,) = read_rows(tmp_path / "nod-sub-01", ["index", "stimulus", "image", "lh", "rh"])
    names = [n for run in RUNS for n in NodFolder(source).labels(*run).read_text().split()]
    assert table["stimulus"].to_pylist() == [name.removesuffix(".JPEG") for name in names]
    images = fixed_width(table["image"], np.uint8)
    for row, name in enumerate(names):
        path = source / "stimuli/imagenet" / name.split("_")[0] / name
        np.testing.assert_array_equal(images[row].reshape(3, SIZE, SIZE), decode_image(path, SIZE))
    for side in HEMISPHERES:
        np.testing.assert_array_equal(
            fixed_width(table[side], np.float32), subject.responses()[side]
        )


def test_a_round_trip_gives_the_rois_of_both_subjects(source, tmp_path) -> None:
    manifests = [ingest(source, tmp_path, number) for number in (1, 2)]
    rois = list_rois(DataDirectory(tmp_path))
    assert [roi.id for roi in rois] == [
        f"nod-sub-0{number}-{side}-{roi_name}"
        for number in (1, 2)
        for side in HEMISPHERES
        for roi_name in NOD_ROIS
    ]
    assert [roi.n_vertices for roi in rois[:5]] == [50, 50, 50, 44, 50]
    assert {roi.data for roi in rois} == {manifest.data for manifest in manifests}
    for roi in rois:
        assert len(read_vertices(tmp_path / roi.shard, roi)) == roi.n_vertices
        assert roi_group_of(roi.name) == "early"


def test_vertices_are_recorded_by_their_place_on_the_fslr_mesh(source, tmp_path) -> None:
    ingest(source, tmp_path)
    table = pq.read_table(tmp_path / "nod-sub-01" / VERTICES).to_pandas()
    columns = read(NodFolder(source).betas())[2]
    assert table["fsaverage"].isna().all()
    assert table["noise_ceiling"].isna().all()
    assert (columns.vertex[table["grayordinate"]] == table["fslr"]).all()
    halves = planted()
    for side, rows in table.groupby("hemisphere"):
        assert rows["vertex"].tolist() == list(range(len(rows)))
        areas = dict(zip(halves[side].surface.vertices, halves[side].surface.area, strict=True))
        assert [list(roi_names) for roi_names in rows["rois"]] == [[areas[v]] for v in rows["fslr"]]


def test_the_same_source_gives_the_same_data_and_any_choice_another(source, tmp_path) -> None:
    first = ingest(source, tmp_path / "a")
    assert first == ingest(source, tmp_path / "b")
    others = [{"top": 10}, {"zscore": "run-matrix"}, {"sessions": (1,)}]
    data = [ingest(source, tmp_path / str(k), **other).data for k, other in enumerate(others)]
    assert len({first.data, *data}) == 4
    assert first.choices == {"top": "50", "zscore": "run", "sessions": "1-4"}
    assert Manifest.read(tmp_path / "a/nod-sub-01") == first


@pytest.mark.parametrize(
    ("choices", "text"),
    [
        ({"top": 10}, "it was made with top 50, not 10; remove this directory"),
        ({"zscore": "run-matrix"}, "made with zscore run, not run-matrix"),
        ({"sessions": (2,)}, "made with sessions 1-4, not 2, it was made from other source files"),
    ],
)
def test_a_subject_of_other_choices_is_refused(source, tmp_path, choices, text) -> None:
    manifest = ingest(source, tmp_path)
    chosen = NodChoices(**choices)
    (files,) = find_subjects(source, [1], chosen.sessions, None)
    with pytest.raises(InputError, match=text):
        read_existing(files, DataDirectory(tmp_path), Settings("paper", SIZE, chosen.record()))
    same = Settings("paper", SIZE, NodChoices().record())
    (files,) = find_subjects(source, [1], None, None)
    assert read_existing(files, DataDirectory(tmp_path), same) == manifest


@pytest.mark.parametrize("which", ["betas", "prf", "labels", "image", "atlas"])
def test_a_changed_source_is_noticed(folder, which) -> None:
    (before,) = (files.digest() for files in find_subjects(folder.root, [1], None, None))
    path = {"betas": folder.betas(2, 2), "prf": folder.prf, "labels": folder.labels(),
            "image": folder.image(), "atlas": folder.atlas}[which]  # fmt: skip
    path.write_bytes(path.read_bytes() + b" ")
    (after,) = (files.digest() for files in find_subjects(folder.root, [1], None, None))
    assert before != after


def test_the_stimulus_split_hashes_the_names_of_images(source) -> None:
    subject = inspect(source, split="stimulus")
    expected = ["test" if stimulus_fraction(s) < 0.15 else "train" for s in subject.stimuli]
    assert list(subject.split.sides) == expected
    assert stimulus_of("imagenet/n01440764/n01440764_172.JPEG") == "n01440764_172"
    assert set(subject.stimuli).isdisjoint(inspect(source, 2).stimuli)


@pytest.mark.parametrize("gone", ["labels", "events"])
def test_label_files_and_events_name_the_same_images(folder, gone) -> None:
    both = inspect(folder.root)
    for run in RUNS:
        (folder.labels(*run) if gone == "labels" else folder.events(*run)).unlink()
    assert same(inspect(folder.root), both)


def test_label_files_may_have_no_line_breaks_or_folders(tmp_path) -> None:
    names = ("n01440764_172.JPEG", "n09472597_21580.JPEG", "n02085620_5147.jpg")
    path = tmp_path / "label.txt"
    for text in ("".join(names), "\n".join(names), "\r\n".join([*names, "", ""])):
        path.write_text(text, newline="")
        assert read_label_file(path) == names
    path.write_text("imagenet/n01440764/n01440764_172.JPEG\n")
    assert read_label_file(path) == ("imagenet/n01440764/n01440764_172.JPEG",)


def test_betas_with_and_without_subcortex_are_the_same(folder) -> None:
    before = inspect(folder.root)
    for run in RUNS:
        add_subcortex(folder.betas(*run))
    assert same(inspect(folder.root), before)


def test_sessions_beyond_the_fourth_are_read_only_when_asked_for(folder) -> None:
    for name in ("betas", "labels", "events"):
        old = getattr(folder, name)(2, 1)
        new = Path(str(old).replace("imagenet02", "imagenet05"))
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(old, new)
    assert len(inspect(folder.root).images) == 24
    assert len(inspect(folder.root, sessions=(1, 5)).images) == 18


def test_runs_are_in_the_order_of_their_numbers_not_of_their_names(folder) -> None:
    for name in ("betas", "labels", "events"):
        for number in range(3, 11):
            old, new = getattr(folder, name)(2, 1), getattr(folder, name)(2, number)
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(old, new)
    (files,) = find_subjects(folder.root, [1], None, None)
    assert [run.name for run in files.runs][:3] == [
        "session 1 run 1",
        "session 1 run 2",
        "session 2 run 1",
    ]
    assert [run.name for run in files.runs][-2:] == ["session 2 run 9", "session 2 run 10"]
    assert files.runs[-1].events.is_file()


def test_check_lists_the_problems_of_nod(folder, capsys) -> None:
    require_checked(folder.root, "nod", "nod-sub-01", "*_beta.dscalar.nii", capsys)
