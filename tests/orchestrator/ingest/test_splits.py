"""Which images train and which test."""

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.errors import InputError
from orchestrator.ingest.settings import SPLITS
from orchestrator.ingest.splits import given_split, split_images, stimulus_fraction

STIMULI = [f"nsd-{7 * k:05d}" for k in range(400)]


@pytest.mark.parametrize(
    ("n_images", "n_train", "n_test"),
    [(9841, 8364, 1477), (9082, 7719, 1363), (8779, 7462, 1317)],
)
def test_paper_split_has_the_published_counts(n_images, n_train, n_test):
    split = split_images("paper", [f"nsd-{k:05d}" for k in range(n_images)])
    assert (split.n_train, split.n_test) == (n_train, n_test)


def test_paper_split_is_the_published_permutation():
    split = split_images("paper", STIMULI)
    permutation = torch.randperm(400, generator=torch.Generator().manual_seed(0)).tolist()
    assert [split.orders[row] for row in permutation] == list(range(400))
    assert {row for row in range(400) if split.sides[row] == "train"} == set(permutation[:340])


def test_stimulus_split_is_decided_by_the_hash_alone():
    split = split_images("stimulus", STIMULI)
    for stimulus, side in zip(STIMULI, split.sides, strict=True):
        leading = int(hashlib.sha256(stimulus.encode()).hexdigest()[:13], 16) / 16**13
        assert (side == "test") == (leading < 0.15)


def test_stimulus_split_puts_a_shared_image_on_one_side_for_all_subjects():
    first, second = STIMULI[:300], STIMULI[100:][::-1]
    sides = dict(zip(first, split_images("stimulus", first).sides, strict=True))
    others = dict(zip(second, split_images("stimulus", second).sides, strict=True))
    assert all(sides[name] == others[name] for name in set(first) & set(second))


def test_stimulus_split_tests_about_15_per_cent():
    assert 0.13 < sum(stimulus_fraction(f"nsd-{k:05d}") < 0.15 for k in range(9841)) / 9841 < 0.17


@given(st.sampled_from(SPLITS), st.permutations(STIMULI[:60]))
def test_orders_are_a_permutation_with_training_images_first(name, stimuli):
    split = split_images(name, stimuli)
    assert sorted(split.orders) == list(range(60))
    assert all((order < split.n_train) == (side == "train")
               for order, side in zip(split.orders, split.sides, strict=True))  # fmt: skip


def test_stimulus_order_follows_the_hash_within_each_side():
    split = split_images("stimulus", STIMULI)
    ranked = [STIMULI[row] for row in sorted(range(400), key=split.orders.__getitem__)]
    fractions = [stimulus_fraction(name) for name in ranked]
    assert fractions[: split.n_train] == sorted(fractions[: split.n_train])
    assert fractions[split.n_train :] == sorted(fractions[split.n_train :])


def test_digest_reports_splits_and_images_apart():
    digests = {split_images(name, STIMULI[:n]).digest for name in SPLITS for n in (100, 101)}
    assert len(digests) == 4
    assert split_images("paper", STIMULI).digest == split_images("paper", list(STIMULI)).digest


@pytest.mark.parametrize("name", SPLITS)
def test_a_split_without_test_or_training_images_is_refused(name):
    tested = next(s for s in STIMULI if stimulus_fraction(s) < 0.15)
    with pytest.raises(InputError, match=r"images leaves \d to train and \d to test"):
        split_images(name, [tested])


def test_a_stimulus_split_that_happens_to_test_nothing_is_refused():
    trained = [s for s in STIMULI if stimulus_fraction(s) >= 0.15][:5]
    with pytest.raises(InputError, match="leaves 5 to train and 0 to test"):
        split_images("stimulus", trained)


def test_given_sides_are_kept_and_ordered_by_the_hash_of_the_stimulus():
    sides = ["test" if k % 3 == 0 else "train" for k in range(60)]
    split = given_split("shared", STIMULI[:60], sides)
    assert (split.name, list(split.sides)) == ("shared", sides)
    ranked = sorted(range(60), key=split.orders.__getitem__)
    expected = [
        row
        for side in ("train", "test")
        for row in sorted(range(60), key=lambda row: stimulus_fraction(STIMULI[row]))
        if sides[row] == side
    ]
    assert ranked == expected
    assert split.digest == given_split("shared", STIMULI[:60], sides, split.orders).digest
    assert split.digest != given_split("other", STIMULI[:60], sides).digest


def test_given_orders_are_kept():
    split = given_split("own", STIMULI[:4], ["train", "test", "train", "test"], [1, 3, 0, 2])
    assert split.orders == (1, 3, 0, 2)
    assert split.sides == ("train", "test", "train", "test")


@pytest.mark.parametrize(
    ("orders", "problem"),
    [([0, 1, 2, 3], "all training images first"), ([0, 3, 1, 1], "0 to 3, each once")],
)
def test_given_orders_that_are_none_are_refused(orders, problem):
    with pytest.raises(ValueError, match=problem):
        given_split("own", STIMULI[:4], ["train", "test", "train", "test"], orders)


def test_given_sides_without_test_images_are_refused():
    with pytest.raises(InputError, match="split 'own' of 3 images leaves 3 to train and 0 to test"):
        given_split("own", STIMULI[:3], ["train"] * 3)
