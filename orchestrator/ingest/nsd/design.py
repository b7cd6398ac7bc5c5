"""Read NSD's design: which image each trial of a subject shows. Files count from 1, this from 0."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file

N_SUBJECTS: Final = 8
KEYS: Final = ("masterordering", "subjectim", "sharedix", "stimpattern")


@dataclass(frozen=True)
class Design:
    """The planned trials of one subject; later sessions may never have been measured."""

    path: Path
    images: NDArray[np.int32]
    """(n_trials,) nsdId of each trial's image, from 0: its row in the file of stimuli."""
    trials: tuple[slice, ...]
    """The trials of each session."""
    shared: NDArray[np.int32]
    """nsdIds that all subjects are shown, ascending."""

    def session(self, number: int) -> NDArray[np.int32]:
        """Return the images of a session's trials, by the number of the session, from 1.

        Raises InputError for a session that was not planned.
        """
        if number > len(self.trials):
            raise InputError(
                f"{self.path}: expected a session {number}, of which there are betas, found "
                f"{len(self.trials)} sessions; take both from the same release"
            )
        return self.images[self.trials[number - 1]]

    def shown(self, sessions: Sequence[int]) -> NDArray[np.int32]:
        """List the images of sessions, by their numbers from 1; ascending, each once."""
        found: NDArray[np.int32]
        found = np.unique(np.concatenate([self.session(number) for number in sessions]))
        return found


def read_design(path: Path, subject: int) -> Design:
    """Read the design of a subject, by its number from 1.

    Raises InputError unless the file has the variables and the ranges of NSD's.
    """
    found = _load(path)
    ordering, images = found["masterordering"].reshape(-1), found["subjectim"]
    shared, pattern = found["sharedix"].reshape(-1), found["stimpattern"]
    n_images = images.shape[-1]
    if images.ndim != 2 or len(images) != N_SUBJECTS:
        raise _wrong(path, f"subjectim of ({N_SUBJECTS}, images)", f"{images.shape}")
    if pattern.ndim != 3 or not np.isin(pattern, (0, 1)).all():
        raise _wrong(path, "stimpattern of (sessions, runs, slots), 0 or 1", f"{pattern.shape}")
    per_session = pattern.sum(axis=(1, 2))
    if per_session.sum() != len(ordering) or not per_session.all():
        raise _wrong(
            path,
            f"a trial in each of {len(per_session)} sessions, {len(ordering):,} in all as in "
            "masterordering",
            f"{per_session.sum():,} in stimpattern",
        )
    _check_numbers(path, "masterordering", ordering, n_images)
    for name, values in (("subjectim", images), ("sharedix", shared)):
        _check_numbers(path, name, values, None)
    _check_shared(path, images, shared)
    ends = np.cumsum(per_session)
    return Design(
        path=path,
        images=(images[subject - 1, ordering - 1] - 1).astype(np.int32),
        trials=tuple(slice(int(e - n), int(e)) for e, n in zip(ends, per_session, strict=True)),
        shared=(shared - 1).astype(np.int32),
    )


def _load(path: Path) -> dict[str, NDArray[np.int64]]:
    """Load the variables as whole numbers."""
    import scipy.io

    require_file(path, "design")
    try:
        found = scipy.io.loadmat(path, variable_names=KEYS)
    except Exception as error:  # a damaged file raises nearly anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(
            f"{path}: expected NSD's design as a MATLAB file up to version 7, found a damaged or "
            f"other file ({reason}); download it again"
        ) from error
    missing = [key for key in KEYS if key not in found]
    if missing:
        raise _wrong(path, f"the variables {', '.join(KEYS)}", f"no {', '.join(missing)}")
    return {key: _whole(path, key, found[key]) for key in KEYS}


def _whole(path: Path, key: str, values: Any) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind not in "biuf" or array.size == 0 or not (array == np.rint(array)).all():
        raise _wrong(path, f"whole numbers in {key}", f"{array.dtype} of {array.shape}")
    return array.astype(np.int64)


def _check_numbers(path: Path, key: str, values: NDArray[np.int64], highest: int | None) -> None:
    """Check the range of numbers that count from 1."""
    low, high = int(values.min()), int(values.max())
    if low == 0:
        raise _wrong(path, f"{key} that counts from 1, as NSD's", "a 0: it counts from 0")
    if low < 0 or (highest is not None and high > highest):
        limit = "" if highest is None else f" to {highest:,}"
        raise _wrong(path, f"{key} from 1{limit}", f"{low:,} to {high:,}")


def _check_shared(path: Path, images: NDArray[np.int64], shared: NDArray[np.int64]) -> None:
    """Check that subjectim begins with the shared images, for every subject."""
    n_shared = len(shared)
    if n_shared > images.shape[1] or not (images[:, :n_shared] == shared).all():
        raise _wrong(
            path,
            f"the {n_shared:,} images of sharedix in the first columns of subjectim",
            "other images there: of another version, or permuted",
        )
    for number, row in enumerate(images, start=1):
        if len(np.unique(row)) < len(row):
            raise _wrong(path, f"each image once in row {number} of subjectim", "some twice")


def _wrong(path: Path, expected: str, found: str) -> InputError:
    return InputError(f"{path}: expected {expected}, found {found}; download it again")
