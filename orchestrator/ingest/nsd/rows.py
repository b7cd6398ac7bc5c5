"""Decide a subject's rows: which images, on which side of the split, of which trials.

``shared1000`` tests on the images that all subjects were shown, ``special515`` on those of them
with three trials in the sessions that all subjects have. ``algonauts`` repeats the division of the
Algonauts 2023 challenge: its training images are those of all sessions but the last three, averaged
over the trials there; its test images are those of the last three sessions alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.nsd.design import Design
from orchestrator.ingest.nsd.files import NsdFiles, ranges
from orchestrator.ingest.settings import Repeats
from orchestrator.ingest.splits import Split, given_split, split_images
from orchestrator.ingest.trial_means import NOT_KEPT, TrialRows
from trainables.data.shards import TEST, TRAIN

MEASURED: Final = (40, 40, 32, 30, 40, 32, 40, 30)
"""Sessions that were measured of each subject."""
WITHHELD: Final = 3
"""The last sessions, which the challenge withheld."""
REPEATS: Final = 3
"""Trials that the design plans for an image."""

Images = NDArray[np.int32]
Trials = NDArray[np.bool_]


@dataclass(frozen=True)
class Rows:
    """A subject's rows."""

    images: Images
    """(n_rows,) nsdId of each row, from 0."""
    split: Split
    trials: TrialRows
    """Of each session that is read, which row its trials belong to."""

    @property
    def stimuli(self) -> tuple[str, ...]:
        """Name the stimulus of each row: ``nsd-00013``."""
        return stimulus_names(self.images)

    def counts(self) -> str:
        """Say how many images are shown in how many trials: ``1,884 in 2, 5,445 in 3``."""
        per_row = self.trials.counts().sum(axis=1)
        found = dict(zip(*np.unique(per_row, return_counts=True), strict=True))
        return ", ".join(f"{n:,} in {trials}" for trials, n in found.items())


def stimulus_names(images: Images) -> tuple[str, ...]:
    """Name stimuli by nsdId, as the Algonauts packaging does."""
    return tuple(f"nsd-{image:05d}" for image in images.tolist())


@dataclass(frozen=True)
class _Sides:
    """The images of each side, in row order, and which sessions' trials count for it."""

    images: Mapping[str, Images]
    sessions: Mapping[str, frozenset[int]]


def plan_rows(files: NsdFiles, design: Design, split: str, repeats: Repeats) -> Rows:
    """Decide the rows of the sessions that are read.

    Raises InputError when the split leaves too few images on a side, or needs sessions that are not
    there.
    """
    sides = _SIDES[split](files, design)
    images = np.concatenate([sides.images[side] for side in (TRAIN, TEST)])
    sided = [side for side in (TRAIN, TEST) for _ in sides.images[side]]
    if split != "algonauts":  # all in one ascending order
        order = np.argsort(images)
        images, sided = images[order], [sided[k] for k in order]
    stimuli = stimulus_names(images)
    decided = split_images if split == "stimulus" else None
    chosen = decided(split, stimuli) if decided else given_split(split, stimuli, sided)
    row_of = np.full(int(max(design.images.max(), images.max())) + 1, NOT_KEPT, np.int32)
    row_of[images] = np.arange(len(images))
    sessions = []
    for number in files.sessions:
        rows = row_of[design.session(number)]
        for row in np.flatnonzero(rows != NOT_KEPT):
            if number not in sides.sessions[sided[rows[row]]]:
                rows[row] = NOT_KEPT
        sessions.append(rows)
    trials = TrialRows(tuple(sessions), len(images))
    return Rows(images, chosen, first_trials(trials) if repeats == "first" else trials)


def first_trials(trials: TrialRows) -> TrialRows:
    """Keep only the first trial of each row."""
    seen = np.zeros(trials.n_rows, bool)
    sessions = []
    for rows in trials.sessions:
        kept = np.full_like(rows, NOT_KEPT)
        for place, row in enumerate(rows.tolist()):
            if row != NOT_KEPT and not seen[row]:
                kept[place], seen[row] = row, True
        sessions.append(kept)
    return TrialRows(tuple(sessions), trials.n_rows)


def _by_images(files: NsdFiles, design: Design, tested: Images) -> _Sides:
    """Test on given images, train on all others, each with all of its trials."""
    shown = design.shown(files.sessions)
    is_tested = np.isin(shown, tested)
    sessions = frozenset(files.sessions)
    return _Sides(
        {TRAIN: shown[~is_tested], TEST: shown[is_tested]}, {TRAIN: sessions, TEST: sessions}
    )


def _shared(files: NsdFiles, design: Design) -> _Sides:
    return _by_images(files, design, design.shared)


def _special(files: NsdFiles, design: Design) -> _Sides:
    return _by_images(files, design, special_images(design))


def special_images(design: Design) -> Images:
    """List the shared images with all three trials in the sessions that every subject has."""
    common = range(1, min(*MEASURED, len(design.trials)) + 1)
    shown, counts = np.unique(
        np.concatenate([design.session(number) for number in common]), return_counts=True
    )
    found: Images = np.intersect1d(shown[counts == REPEATS], design.shared)
    return found


def _by_hash(files: NsdFiles, design: Design) -> _Sides:
    return _by_images(files, design, np.empty(0, np.int32))


def _challenge(files: NsdFiles, design: Design) -> _Sides:
    """Divide images as the challenge does.

    A shared image of the last sessions is a test image only where the subject was measured in all
    planned sessions, so that all its trials are there.
    """
    planned = len(design.trials)
    n_measured = min(MEASURED[files.number - 1], planned)
    first_withheld = n_measured - WITHHELD + 1
    early = frozenset(number for number in files.sessions if number < first_withheld)
    late = frozenset(files.sessions) - early
    if len(early) < first_withheld - 1 or len(late) < WITHHELD:
        raise InputError(
            f"{files.betas}: split 'algonauts' needs all {n_measured} sessions of "
            f"{files.subject}, found {ranges(files.sessions)}; download the others (older copies "
            f"lack the last {WITHHELD}), or use another --split"
        )
    train = design.shown(sorted(early))
    test = np.setdiff1d(design.shown(sorted(late)), train)
    if n_measured < planned:
        test = np.setdiff1d(test, design.shared)
    return _Sides({TRAIN: train, TEST: test}, {TRAIN: early, TEST: late})


_SIDES: Final[Mapping[str, Callable[[NsdFiles, Design], _Sides]]] = {
    "shared1000": _shared,
    "special515": _special,
    "algonauts": _challenge,
    "stimulus": _by_hash,
}
