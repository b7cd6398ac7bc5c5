"""Betas on fsaverage become rows: z-scored by session, averaged, with ROIs and ceilings."""

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from orchestrator.ingest.noise_ceilings import RepeatStatistics, ceiling_of
from orchestrator.ingest.nsd.files import find_subjects
from orchestrator.ingest.nsd.settings import NsdChoices
from orchestrator.ingest.simulate.nsd_ground_truth import plan_design, plant_nsd
from tests.builders import algonauts_ingest
from tests.builders.nsd_folder import (
    SETTINGS,
    betas_folder,
    check,
    inspect,
    mean_by_hand,
    mesh_labels,
    nsdgeneral,
    prepare,
    shown,
    stimulus_pixels,
    write,
    zscored_sessions,
)
from trainables.data.data_directory import VERTICES
from trainables.data.rows import fixed_width, read_rows
from trainables.spec.rois import HEMISPHERES, ROI_FAMILIES

ALL = set(range(6))


@pytest.fixture(scope="module")
def subject(released, tmp_path_factory):
    return prepare(released, tmp_path_factory.mktemp("means") / "scratch")


def responses_of(subject, side) -> np.ndarray:
    return subject.responses()[side][0 : len(subject.images)]


@pytest.mark.parametrize("side", HEMISPHERES)
def test_rows_are_means_of_zscored_trials_without_missing_sessions(released, subject, side):
    sessions, trials = zscored_sessions(released, side), shown(released)
    vertices = nsdgeneral(released, side)
    expected = np.stack(
        [
            mean_by_hand(sessions, trials, int(stimulus[4:]), ALL)[vertices]
            for stimulus in subject.stimuli
        ]
    )
    complete = ~np.isnan(expected).any(axis=0)
    half = subject.hemispheres[side]
    np.testing.assert_array_equal(half.fsaverage, vertices[complete])
    np.testing.assert_allclose(
        responses_of(subject, side), expected[:, complete], rtol=1e-5, atol=1e-6
    )


def test_the_first_trial_is_taken_as_it_is(released, tmp_path):
    subject = prepare(released, tmp_path / "scratch", repeats="first")
    sessions, trials = zscored_sessions(released, "lh"), shown(released)
    flat = [image for session in trials for image in session]
    found = responses_of(subject, "lh")
    stacked = np.concatenate(sessions)[:, subject.hemispheres["lh"].fsaverage]
    expected = stacked[[flat.index(int(stimulus[4:])) for stimulus in subject.stimuli]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", HEMISPHERES)
def test_rois_are_those_of_the_labels_at_the_vertices(released, subject, side):
    half = subject.hemispheres[side]
    n_rois = 0
    for family, roi_names in ROI_FAMILIES.items():
        labels = mesh_labels(released, side, family)[half.fsaverage]
        for label, roi_name in enumerate(roi_names, start=1):
            expected = np.flatnonzero(labels == label)
            assert half.regions.get(roi_name, np.empty(0)).tolist() == expected.tolist()
            n_rois += len(expected) > 0
    assert len(half.regions) == n_rois > 25


def test_planted_signals_are_recovered_up_to_the_noise_ceiling(released, subject):
    """The signal itself, as a perfect model's prediction, scores the ceiling; another's does not.

    Vertices without data in a session have fewer trials, and a lower ceiling.
    """
    design = plan_design(SETTINGS)
    place = {image: k for k, image in enumerate(design.images[0].tolist())}
    order = [place[int(stimulus[4:])] for stimulus in subject.stimuli]
    for side, planted in plant_nsd(1, design, SETTINGS).items():
        half = subject.hemispheres[side]
        columns = np.searchsorted(planted.cortex.fsaverage, half.fsaverage)
        signal, ncsnr = planted.signal[order][:, columns], planted.ncsnr[columns]
        found, responds = responses_of(subject, side), ncsnr > 0
        r = correlations(signal[:, responds], found[:, responds])
        of_three = np.sqrt(ncsnr**2 / (ncsnr**2 + 1 / 3))
        is_lacking = np.isin(columns, planted.invalid)
        np.testing.assert_allclose(
            half.noise_ceiling[~is_lacking], of_three[~is_lacking], rtol=1e-6
        )
        assert (half.noise_ceiling <= of_three + 1e-6).all()
        assert (half.noise_ceiling < of_three)[is_lacking & responds].all()
        assert abs(r.mean() - half.noise_ceiling[responds].mean()) < 0.03
        permuted = correlations(signal[::-1, responds], found[:, responds])
        assert abs(permuted.mean()) < 0.03


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(one.T, other.T, strict=True)])


def test_ceilings_are_those_of_the_trials_that_a_vertex_has(folder, tmp_path):
    for side in HEMISPHERES:
        (betas_folder(folder) / f"{side}.betas_session06.mgh").unlink()
    subject = prepare(folder, tmp_path / "scratch")
    flat = [image for session in shown(folder)[:5] for image in session]
    tested = [
        int(stimulus[4:])
        for stimulus, side in zip(subject.stimuli, subject.split.sides, strict=True)
        if side == "test"
    ]
    left = np.mean([1 / flat.count(image) for image in tested])
    half = subject.hemispheres["rh"]
    ncsnr = nibabel.load(betas_folder(folder) / "rh.ncsnr.mgh").get_fdata().reshape(-1)
    s = ncsnr[half.fsaverage]
    np.testing.assert_allclose(half.noise_ceiling, np.sqrt(s**2 / (s**2 + left)), rtol=1e-6)
    assert "m: mean over test images of 1 / trials" in subject.noise_ceiling_formula


def without_ncsnr(folder):
    for side in HEMISPHERES:
        (betas_folder(folder) / f"{side}.ncsnr.mgh").unlink()
    return folder


@pytest.mark.parametrize("repeats", ["mean", "first"])
def test_without_ncsnr_ceilings_are_estimated_from_repeats(folder, tmp_path, repeats):
    """From all trials, whatever of them the rows are made of; planted ncsnr are in their order."""
    subject = prepare(without_ncsnr(folder), tmp_path / "scratch", repeats=repeats)
    shown_images = np.concatenate(shown(folder))
    for side, planted in plant_nsd(1, plan_design(SETTINGS), SETTINGS).items():
        half = subject.hemispheres[side]
        columns = np.searchsorted(planted.cortex.fsaverage, half.fsaverage)
        whole = ~np.isin(columns, planted.invalid)
        trials = np.concatenate(zscored_sessions(folder, side))[:, half.fsaverage[whole]]
        statistics = RepeatStatistics(whole.sum())
        for image in range(shown_images.max() + 1):
            statistics.add(trials[shown_images == image])
        expected = ceiling_of(statistics.ncsnr(), 1 / 3 if repeats == "mean" else 1)
        np.testing.assert_allclose(half.noise_ceiling[whole], expected, rtol=1e-4, atol=1e-4)
        assert np.corrcoef(half.noise_ceiling, planted.ncsnr[columns])[0, 1] > 0.6
    assert "within 60 repeated images" in subject.noise_ceiling_formula


def test_the_choice_of_ceilings_is_kept(folder, released, tmp_path):
    assert inspect(released, ceiling="none").hemispheres["lh"].noise_ceiling is None
    estimated = inspect(released, ceiling="estimated")
    assert "repeated images" in estimated.noise_ceiling_formula
    (complaint,) = check(without_ncsnr(folder), ceiling="released").complaints
    assert complaint.endswith(
        "no ncsnr; download it, or use --ceiling estimated, from repeated images"
    )
    (complaint,) = check(folder, ceiling="estimated", sessions=(1,)).complaints
    assert "expected at least 10 for --ceiling estimated; read more --sessions" in complaint
    findings = check(folder, sessions=(1,))
    assert any("no noise ceilings: no ncsnr, and " in note for note in findings.notes)


@pytest.mark.parametrize("vertices", ["all", "rois"])
def test_other_vertices_can_be_read(released, tmp_path, vertices):
    subject = prepare(released, tmp_path / "scratch", vertices=vertices)
    for side in HEMISPHERES:
        labels = [mesh_labels(released, side, family) for family in ROI_FAMILIES]
        labelled = np.flatnonzero(np.any(np.stack(labels) > 0, axis=0))
        wanted = np.arange(10_242) if vertices == "all" else labelled
        assert subject.hemispheres[side].fsaverage.tolist() == wanted.tolist()


def test_vertices_without_a_trial_of_some_image_are_dropped_and_counted(released, tmp_path, capsys):
    subject = prepare(released, tmp_path / "scratch", subject=3, repeats="first")
    assert subject.hemispheres["lh"].n_vertices == len(nsdgeneral(released, "lh")) - 13 - 3
    assert "subj03 lh: 16 vertices have no data in some session" in capsys.readouterr().out


def challenge_folder(released, root):
    """Write the challenge's training files from the release, by readers of their own."""
    trials, home = shown(released), root / "subj01"
    early = {image for session in (0, 1, 2) for image in trials[session]}
    images = home / "training_split/training_images"
    images.mkdir(parents=True)
    for place, image in enumerate(sorted(early), start=1):
        pixels = Image.fromarray(stimulus_pixels(released, image))
        pixels.save(images / f"train-{place:04d}_nsd-{image:05d}.png")
    (home / "training_split/training_fmri").mkdir()
    (home / "roi_masks").mkdir()
    for side in HEMISPHERES:
        sessions = zscored_sessions(released, side)
        vertices = nsdgeneral(released, side)
        whole = ~np.isnan(np.concatenate(sessions)[:, vertices]).any(axis=0)
        vertices = vertices[whole]
        means = [mean_by_hand(sessions, trials, k, {0, 1, 2})[vertices] for k in sorted(early)]
        fmri = home / f"training_split/training_fmri/{side}_training_fmri.npy"
        np.save(fmri, np.array(means, np.float32))
        present = np.zeros(163_842, np.int64)
        present[vertices] = 1
        np.save(home / f"roi_masks/{side}.all-vertices_fsaverage_space.npy", present)
        for family, roi_names in ROI_FAMILIES.items():
            labels = mesh_labels(released, side, family)[vertices]
            np.save(home / f"roi_masks/{side}.{family}_challenge_space.npy", labels)
            names = {0: "Unknown", **dict(enumerate(roi_names, start=1))}
            np.save(home / f"roi_masks/mapping_{family}.npy", names, allow_pickle=True)
    return root


def test_shards_equal_those_of_the_challenge_files(released, tmp_path):
    packed = algonauts_ingest.inspect(challenge_folder(released, tmp_path / "challenge"))
    own = prepare(released, tmp_path / "scratch", split="algonauts")
    write(packed, tmp_path / "packed", "paper")
    write(own, tmp_path / "own", "algonauts")
    columns = ["index", "stimulus", "image", "lh", "rh"]
    (one,) = read_rows(tmp_path / "packed/nsd-subj01", columns)
    (other,) = read_rows(tmp_path / "own/nsd-subj01", columns)
    other = other.slice(0, own.split.n_train)
    for name in ("index", "stimulus", "image"):
        assert one[name].to_pylist() == other[name].to_pylist()
    for side in HEMISPHERES:
        np.testing.assert_allclose(
            fixed_width(other[side], np.float32),
            fixed_width(one[side], np.float32),
            rtol=1e-5,
            atol=1e-6,
        )
    tables = [
        pq.read_table(tmp_path / name / "nsd-subj01" / VERTICES) for name in ("packed", "own")
    ]
    assert tables[0].drop(["noise_ceiling"]) == tables[1].drop(["noise_ceiling"])


def test_what_was_ingested_is_recognised_until_a_file_changes(folder):
    (files,) = find_subjects(folder, [1], NsdChoices())
    before = files.digest()
    assert find_subjects(folder, [1], NsdChoices())[0].digest() == before
    path = betas_folder(folder) / "rh.betas_session03.mgh"
    changed = bytearray(path.read_bytes())
    changed[300] ^= 1
    path.unlink()
    path.write_bytes(changed)
    assert files.digest() != before
