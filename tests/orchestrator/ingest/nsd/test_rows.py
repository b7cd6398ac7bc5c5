"""Which images a subject's rows show, on which side of the split, of which trials."""

import numpy as np
import pytest

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nsd.design import read_design
from orchestrator.ingest.nsd.files import find_subjects, ranges
from orchestrator.ingest.nsd.rows import plan_rows, special_images
from orchestrator.ingest.nsd.settings import NsdChoices
from orchestrator.ingest.splits import stimulus_fraction
from orchestrator.ingest.trial_means import NOT_KEPT
from tests.builders.checked_layout import require_checked
from tests.builders.nsd_folder import EXPERIMENT, SETTINGS, betas_folder, shared, shown

EARLY, LATE = {0, 1, 2}, {3, 4, 5}


def plan(root, split, subject=1, repeats="mean", sessions=None):
    choices = NsdChoices(sessions=sessions)
    (files,) = find_subjects(root, [subject], choices)
    return plan_rows(files, read_design(root / EXPERIMENT, subject), split, repeats)


def images_in(trials, sessions) -> set[int]:
    return {image for session in sessions for image in trials[session]}


def sides_of(rows) -> dict[int, str]:
    return dict(zip(rows.images.tolist(), rows.split.sides, strict=True))


def expected_sides(split: str, trials, common: set[int]) -> dict[int, str]:
    seen = images_in(trials, range(6))
    if split == "shared1000":
        tested = common
    elif split == "special515":
        flat = [image for session in trials for image in session]
        tested = {image for image in common if flat.count(image) == 3}
    elif split == "stimulus":
        tested = {image for image in seen if stimulus_fraction(f"nsd-{image:05d}") < 0.15}
    else:
        tested = seen - images_in(trials, EARLY)
    return {image: "test" if image in tested else "train" for image in seen}


@pytest.mark.parametrize("split", ["shared1000", "special515", "stimulus", "algonauts"])
@pytest.mark.parametrize("subject", [1, 3])
def test_each_split_puts_each_image_on_its_side(released, split, subject):
    trials = shown(released, subject)
    rows = plan(released, split, subject)
    assert sides_of(rows) == expected_sides(split, trials, shared(released))
    assert rows.split.name == split
    assert min(rows.split.n_train, rows.split.n_test) > 0
    assert rows.stimuli[0] == f"nsd-{rows.images[0]:05d}"


@pytest.mark.parametrize("split", ["shared1000", "algonauts"])
def test_rows_hold_the_trials_that_count_for_their_side(released, split):
    trials, rows = shown(released), plan(released, split)
    kept = 0
    for session, of_trials in enumerate(rows.trials.sessions):
        assert len(of_trials) == len(trials[session])
        for image, row in zip(trials[session], of_trials, strict=True):
            if row != NOT_KEPT:
                assert rows.images[row] == image
                late = split != "algonauts" or rows.split.sides[row] == "test"
                assert session in (LATE if late and split == "algonauts" else EARLY | LATE)
                assert late or session in EARLY
                kept += 1
    n_late = sum(
        trials[session].count(image) for session in LATE for image in images_in(trials, EARLY)
    )
    assert kept == 3 * SETTINGS.n_images - (n_late if split == "algonauts" else 0)


def test_the_challenge_lists_its_training_images_first_both_ascending(released):
    rows = plan(released, "algonauts")
    train = rows.images[: rows.split.n_train]
    assert set(rows.split.sides[: len(train)]) == {"train"}
    assert (np.diff(train) > 0).all()
    assert (np.diff(rows.images[len(train) :]) > 0).all()
    assert (np.diff(plan(released, "shared1000").images) > 0).all()


def test_a_subject_without_all_planned_sessions_has_no_shared_challenge_test_images(
    released, monkeypatch
):
    monkeypatch.setattr("orchestrator.ingest.nsd.rows.MEASURED", (5, 6, 5, 6, 6, 6, 6, 6))
    trials, common = shown(released), shared(released)
    rows = plan(released, "algonauts", sessions=(1, 2, 3, 4, 5))
    late_only = images_in(trials, {2, 3, 4}) - images_in(trials, {0, 1})
    tested = {image for image, side in sides_of(rows).items() if side == "test"}
    assert late_only & common
    assert tested == late_only - common


def test_the_challenge_needs_all_sessions(released):
    with pytest.raises(InputError, match=r"needs all 6 sessions of subj01, found 1-5; download"):
        plan(released, "algonauts", sessions=(1, 2, 3, 4, 5))


def test_special_images_have_three_trials_in_the_sessions_that_all_subjects_have(
    released, monkeypatch
):
    monkeypatch.setattr("orchestrator.ingest.nsd.rows.MEASURED", (6, 6, 5, 6, 6, 6, 6, 6))
    trials = shown(released)
    early = [image for session in trials[:5] for image in session]
    expected = {image for image in shared(released) if early.count(image) == 3}
    assert 0 < len(expected) < len(shared(released))
    found = [special_images(read_design(released / EXPERIMENT, s)).tolist() for s in (1, 8)]
    assert found[0] == found[1] == sorted(expected)


def test_trials_of_sessions_that_are_not_there_are_left_out(folder):
    for side in ("lh", "rh"):
        (betas_folder(folder) / f"{side}.betas_session06.mgh").unlink()
    trials, rows = shown(folder), plan(folder, "shared1000")
    assert set(rows.images.tolist()) == images_in(trials, range(5))
    flat = [image for session in trials[:5] for image in session]
    found = rows.trials.counts().sum(axis=1).tolist()
    assert found == [flat.count(image) for image in rows.images.tolist()]
    assert rows.counts() == ", ".join(
        f"{found.count(n)} in {n}" for n in (1, 2, 3) if found.count(n)
    )


def test_the_first_trial_alone_is_kept(released):
    trials, rows = shown(released), plan(released, "shared1000", repeats="first")
    assert rows.trials.counts().sum(axis=1).tolist() == [1] * SETTINGS.n_images
    flat = [image for session in trials for image in session]
    of_trials = np.concatenate(rows.trials.sessions)
    for row, image in enumerate(rows.images.tolist()):
        assert np.flatnonzero(of_trials == row).tolist() == [flat.index(image)]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([1], "1"), ([1, 2], "1-2"), ([2, 4, 5, 6, 9], "2,4-6,9"), ([], "")],
)
def test_numbers_are_written_as_ranges(numbers, text):
    assert ranges(numbers) == text


def test_check_lists_the_problems_of_nsd(folder, capsys) -> None:
    require_checked(folder, "nsd", "nsd-subj01", "nsd_expdesign.mat", capsys)
