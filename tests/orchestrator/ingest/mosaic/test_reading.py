"""Reading sound files of MOSAIC: rows, sides, responses, areas, ceilings, images."""

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.ingest.checked import Findings
from orchestrator.ingest.image_places import StackedImage
from orchestrator.ingest.images import decode_image
from orchestrator.ingest.mosaic.command import CompanionOptions
from orchestrator.ingest.mosaic.grayordinates import FIRST, N_GRAYORDINATES
from orchestrator.ingest.noise_ceilings import ceiling_from_ncsnr
from orchestrator.ingest.simulate.mosaic import list_stimuli
from orchestrator.ingest.simulate.mosaic_ground_truth import build_atlas, missing_columns
from tests.builders.checked_layout import require_checked
from tests.builders.mosaic_folder import (
    KEY,
    SETTINGS,
    SIZE,
    found,
    inspect,
    planted,
    trials_of,
    write,
)
from trainables.data.data_directory import VERTICES, DataDirectory
from trainables.data.loading import read_subject
from trainables.data.rows import fixed_width, read_rows
from trainables.data.shards import Manifest, list_rois
from trainables.data.trials import read_trials
from trainables.spec.rois import HEMISPHERES

BY_ID = {
    (f"nsd-{one.number:05d}" if one.phase != "artificial" else f"nsdsynthetic-{one.file[:3]}"): one
    for one in list_stimuli(KEY, SETTINGS)
}
NATURAL = sorted(name for name, one in BY_ID.items() if one.phase != "artificial")


def test_rows_are_means_of_the_trials_of_each_stimulus_in_the_kept_grayordinates(source) -> None:
    (files,) = found(source.root)
    subject = inspect(files)
    assert list(subject.stimuli) == NATURAL
    responses = subject.responses()
    for side in HEMISPHERES:
        columns = subject.hemispheres[side].coordinates["grayordinate"]
        read = responses[side][3:9]
        assert read.dtype == np.float32
        expected = [
            trials_of(source.file, BY_ID[name].file)[:, columns].mean(axis=0, dtype=float)
            for name in subject.stimuli[3:9]
        ]
        np.testing.assert_allclose(read, expected, atol=1e-6)


def test_planted_signal_is_recovered_in_every_area(source) -> None:
    (files,) = found(source.root)
    subject, truth = inspect(files), planted()
    rows = [truth.rows[name] for name in subject.stimuli]
    for side in HEMISPHERES:
        half, read = subject.hemispheres[side], subject.responses()[side][:]
        assert len(half.regions) == 26
        shifted = []
        for area, vertices in half.regions.items():
            planted_area = truth.areas[side][area]
            kept = np.isin(planted_area.columns, half.coordinates["grayordinate"][vertices])
            signal, measured = planted_area.signal[rows][:, kept], read[:, vertices]
            assert mean_r(signal, measured) > 0.4, (side, area)
            shifted.append(mean_r(np.roll(signal, 1, axis=0), measured))
        assert abs(np.mean(shifted)) < 0.2  # of other images


def mean_r(signal: np.ndarray, measured: np.ndarray) -> float:
    return np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(signal.T, measured.T, strict=True)])


def test_grayordinates_without_a_value_in_any_trial_are_left_out(source) -> None:
    (files,) = found(source.root)
    missing = missing_columns(SETTINGS.seed)
    for side, half in inspect(files).hemispheres.items():
        kept = half.coordinates["grayordinate"]
        assert not np.isin(kept, missing).any()
        assert len(half.regions["V1"]) == 55  # 60 planted, 5 of them missing
        assert half.n_vertices == len(kept) == sum(len(v) for v in half.regions.values())
        atlas = build_atlas(SETTINGS.seed, side)
        expected = np.setdiff1d(atlas.columns(side, "V3A"), missing)
        np.testing.assert_array_equal(kept[half.regions["V3A"]], expected)
        np.testing.assert_array_equal(half.coordinates["fslr"], atlas.vertices[kept - FIRST[side]])
        assert half.fsaverage is None


@pytest.mark.parametrize(
    ("choices", "n_train", "n_test", "n_noted"),
    [
        ({}, 14, 6, 1),
        ({"test": "artificial"}, 14, 2, 1),
        ({"test": "all"}, 14, 8, 0),
        ({"split": "lists"}, 12, 6, 1),  # 2 training images are in no list; 2 are artificial
        ({"split": "lists", "test": "artificial"}, 12, 2, 1),
        ({"split": "lists", "test": "all"}, 12, 8, 1),
    ],
)
def test_sides_are_those_of_the_data_set_or_of_the_lists(
    source, choices, n_train, n_test, n_noted
) -> None:
    (files,) = found(source.root, **choices)
    findings = Findings()
    subject = inspect(files, findings)
    assert (subject.split.n_train, subject.split.n_test) == (n_train, n_test)
    for name, side in zip(subject.stimuli, subject.split.sides, strict=True):
        assert side == ("train" if BY_ID[name].phase == "train" else "test")
    kinds = {
        BY_ID[n].phase
        for n, s in zip(subject.stimuli, subject.split.sides, strict=True)
        if s == "test"
    }
    assert (
        kinds
        == {
            "natural": {"test"},
            "artificial": {"artificial"},
            "all": {"test", "artificial"},
        }[choices.get("test", "natural")]
    )
    assert len([note for note in findings.notes if "left out" in note]) == n_noted


def test_the_hash_of_a_stimulus_may_decide_too(source) -> None:
    (files,) = found(source.root, split="stimulus")
    subject = inspect(files)
    assert subject.split.name == "stimulus"
    assert {BY_ID[n].phase for n in subject.stimuli} == {"train", "test"}
    # One trial's ceilings give ncsnr, and that the ceilings of the trials there are.
    tested = [
        BY_ID[n].n_trials
        for n, s in zip(subject.stimuli, subject.split.sides, strict=True)
        if s == "test"
    ]
    repeats = np.bincount(tested)[1:].tolist()
    c = planted().areas["lh"]["V4"].noise_ceiling
    expected = ceiling_from_ncsnr(c / np.sqrt(1 - c**2), repeats)
    half = subject.hemispheres["lh"]
    np.testing.assert_allclose(half.noise_ceiling[half.regions["V4"]], expected, rtol=1e-6)
    assert "m: mean of 1 / trials" in subject.noise_ceiling_formula


@pytest.mark.parametrize(("test", "n"), [("natural", 3), ("artificial", 2)])
def test_noise_ceilings_are_chosen_by_name_and_become_correlations(source, test, n) -> None:
    """By name: those of artificial images have the attribute phase "test" too."""
    (files,) = found(source.root, test=test)
    subject = inspect(files)
    for side, half in subject.hemispheres.items():
        for area in ("V2", "FFC"):
            c = planted().areas[side][area].noise_ceiling
            expected = np.sqrt(c**2 / (c**2 + (1 - c**2) / n))
            np.testing.assert_allclose(half.noise_ceiling[half.regions[area]], expected, rtol=1e-6)
    phase = "test" if test == "natural" else test
    assert f"{KEY.name}_phase-{phase}_n-avg_noiseceiling" in subject.noise_ceiling_formula


def test_a_subject_without_noise_ceilings_has_none(folder) -> None:
    with folder.opened() as file:
        del file["noiseceilings"]
    (files,) = found(folder.root)
    subject = inspect(files)
    assert subject.hemispheres["lh"].noise_ceiling is None
    assert subject.noise_ceiling_formula is None


def test_shards_hold_rows_vertices_and_what_was_chosen(source, tmp_path) -> None:
    (files,) = found(source.root, areas=("V1", "FFC"))
    subject = inspect(files)
    manifest = write(subject, files, tmp_path)
    shard = tmp_path / "mosaic-nsd-sub-01"
    assert Manifest.read(shard) == manifest
    assert manifest.choices == {"areas": "V1,FFC", "test images": "natural"}
    assert {roi.id: roi.n_vertices for roi in list_rois(DataDirectory(tmp_path))} == {
        "mosaic-nsd-sub-01-lh-V1": 55,
        "mosaic-nsd-sub-01-lh-FFC": 8,
        "mosaic-nsd-sub-01-rh-V1": 55,
        "mosaic-nsd-sub-01-rh-FFC": 8,
    }
    (table,) = read_rows(shard, ["image"])
    pixels = fixed_width(table["image"], np.uint8)[0].reshape(3, SIZE, SIZE)
    file = source.images / BY_ID[subject.stimuli[0]].file
    np.testing.assert_array_equal(pixels, decode_image(file, SIZE))
    read = read_subject(shard)
    for side in HEMISPHERES:
        np.testing.assert_array_equal(read.responses[side], subject.responses()[side][:])
    vertices = pq.read_table(shard / VERTICES)
    assert vertices.column_names[-2:] == ["grayordinate", "fslr"]


def test_float64_in_one_file_of_several_subjects_is_read_as_float32_alone(source, tmp_path) -> None:
    merged = tmp_path / "mosaic_ind.hdf5"
    with h5py.File(source.file) as one, h5py.File(merged, "w") as file:
        group = file.create_group(KEY.name, track_order=True)
        group.attrs.update(one.attrs)
        group.attrs["nan_indices_all"] = one["nan_indices_all"][()]
        group.attrs["source_filename"] = f"{KEY.name}_crc32-0a1b2c3d.hdf5"
        one.copy("noiseceilings", group)
        betas = group.create_group("betas")
        for name, data in one["betas"].items():
            copy = betas.create_dataset(name, data=data[()].astype(">f8"))
            copy.attrs.update(data.attrs)
    (alone,) = found(source.root)
    (files,) = found(source.root, (merged,))
    assert files.key == alone.key
    one, other = inspect(alone), inspect(files)
    assert one.stimuli == other.stimuli
    for side in HEMISPHERES:
        np.testing.assert_array_equal(one.responses()[side][:], other.responses()[side][:])


def test_images_may_be_rows_of_nsds_own_stack(source, tmp_path) -> None:
    stack = tmp_path / "nsd_stimuli.hdf5"
    rows = {one.number: source.images / one.file for n, one in BY_ID.items() if n in NATURAL}
    with h5py.File(stack, "w") as file:
        shape = (73_000, SIZE, SIZE, 3)
        images = file.create_dataset("imgBrick", shape, np.uint8, chunks=(1, *shape[1:]))
        for row, path in rows.items():
            images[row] = np.moveaxis(decode_image(path, SIZE), 0, -1)
    (files,) = found(source.root, given=CompanionOptions(stimuli=[f"nsd={stack}"]))
    subject = inspect(files)
    assert isinstance(subject.images[0], StackedImage)
    for name, image in zip(subject.stimuli, subject.images, strict=True):
        expected = decode_image(source.images / BY_ID[name].file, SIZE)
        np.testing.assert_array_equal(decode_image(image, SIZE), expected)


def test_a_stimulus_of_both_phases_is_a_test_image_only(folder) -> None:
    name = folder.first_trial()
    with folder.opened() as file:
        twin = name.replace("phase-train", "phase-test")
        assert twin != name
        file.copy(f"betas/{name}", file["betas"], twin)
        file["betas"][twin].attrs["phase"] = "test"
        file["betas"][twin][()] = np.where(np.arange(N_GRAYORDINATES) >= 0, 7.0, 0)
    (files,) = found(folder.root)
    findings = Findings()
    subject = inspect(files, findings)
    (row,) = [row for row in files.rows.rows if twin in row.trials]
    assert row.trials == (twin,)
    place = subject.stimuli.index(row.stimulus.id)
    assert subject.split.sides[place] == "test"
    assert (subject.responses()["rh"][place : place + 1] == 7).all()
    assert any("training trials of stimuli that are test images too" in n for n in findings.notes)


def test_frames_of_videos_are_found_by_the_stem(folder) -> None:
    first = BY_ID[NATURAL[0]].file
    text = folder.table.read_text()
    folder.table.write_text(text.replace(first, first.replace(".jpg", ".mp4")))
    with folder.opened() as file:
        for data in file["betas"].values():
            if data.attrs["presented_stimulus_filename"] == first:
                data.attrs["presented_stimulus_filename"] = first.replace(".jpg", ".mp4")
    (files,) = found(folder.root)
    assert inspect(files).images[0] == folder.images / first


def test_check_lists_the_problems_of_mosaic(folder, capsys) -> None:
    require_checked(folder.root, "mosaic", "mosaic-nsd-sub-01", "sub-01_NSD.hdf5", capsys)


def test_single_trials_of_training_stimuli_are_kept_where_asked(source, tmp_path) -> None:
    (files,) = found(source.root, repeats="rows")
    subject = inspect(files)
    manifest = write(subject, files, tmp_path)
    assert manifest.choices["repeats"] == "rows"
    shard = tmp_path / subject.shard
    read, columns = read_subject(shard), subject.hemispheres["rh"].coordinates["grayordinate"]
    trials = read_trials(shard, "rh", np.arange(len(columns)))
    assert manifest.n_trials == len(trials.images) == read.n_trials[read.train_rows].sum()
    for row in read.train_rows[:3]:
        expected = trials_of(source.file, BY_ID[subject.stimuli[row]].file)[:, columns]
        np.testing.assert_allclose(trials.responses[trials.images == row], expected, atol=1e-6)
