"""One subject's trials in an HDF5 file of MOSAIC: what is there, without the responses.

A file has one subject, or a group for each. In it, ``betas`` holds one data set per trial, over all
grayordinates, ``noiseceilings`` the noise ceilings, and ``nan_indices_all`` the grayordinates that
lack a value in any trial.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.mosaic.grayordinates import N_GRAYORDINATES
from orchestrator.ingest.mosaic.names import SubjectKey, parse_key, parse_trial
from trainables.wording import some

BETAS: Final = "betas"
CEILINGS: Final = "noiseceilings"
MISSING: Final = "nan_indices_all"
_ATTRIBUTES: Final = ("presented_stimulus_filename", "phase", "repetition")


@dataclass(frozen=True)
class Trial:
    """One presentation of a stimulus."""

    name: str
    """Of its data set in BETAS."""
    stimulus: str
    """File name of the stimulus, with its extension."""
    phase: str
    """``train`` or ``test``: its side in the data set's own split."""


@dataclass(frozen=True)
class Recording:
    """One subject's trials."""

    trials: tuple[Trial, ...]
    """Sorted by name: the order in the file means nothing."""
    missing: NDArray[np.int64]
    """Grayordinates that lack a value in any trial, ascending."""
    ceilings: tuple[str, ...]
    """Names of the noise ceilings."""


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file; raise InputError where that fails, or reading what is in it."""
    require_file(path, "MOSAIC's responses")
    try:
        with h5py.File(path) as file:
            yield file
    except OSError as error:  # of the library: no HDF5 file, or a part of one
        reason = " ".join(str(error).split())[:100]
        raise InputError(
            f"{path}: not a readable HDF5 file ({reason}); download it again"
        ) from error


def list_groups(path: Path) -> Mapping[str, SubjectKey]:
    """List the groups of subjects in a file; ``""`` where the whole file is one subject's.

    Raises InputError for a file of another layout.
    """
    with opened(path) as file:
        names = sorted(file)
        if BETAS in names:
            key = parse_key(path.name.partition(".")[0])
            if key is None:
                raise InputError(
                    f"{path}: expected a name such as sub-01_NSD.hdf5, which names the subject and "
                    "the data set; give it its name again, as downloaded"
                )
            return {"": key}
        keys = {name: key for name in names if (key := parse_key(name))}
        for name in keys:
            _refuse_chunks(path, file, name)
    if not keys:
        raise InputError(
            f"{path}: expected {BETAS}, or groups such as sub-01_NSD, found "
            f"{some(names) or 'nothing'}; give files of MOSAIC, as downloaded"
        )
    return keys


def _refuse_chunks(path: Path, file: h5py.File, name: str) -> None:
    if isinstance(file[name].get(BETAS), h5py.Dataset):
        raise InputError(
            f"{path}: {name}/{BETAS} is one matrix of all trials (mosaic_chunks.hdf5), which lacks "
            "their phases and repetitions; give the subjects' own files, or mosaic_ind.hdf5"
        )


def read_recording(path: Path, group: str, key: SubjectKey) -> Recording:
    """Read what trials a subject has, and check the header of each.

    group: of the subject in the file, or ``""``. Raises InputError with everything that is wrong.
    """
    where = f"{path}/{group}".rstrip("/")
    with opened(path) as file:
        subject = file[group] if group else file
        _check_owner(where, subject, key)
        trials, lines = _read_trials(where, subject, key)
        if lines:
            raise InputError(*lines)
        missing = _read_missing(where, file, subject)
        ceilings = tuple(sorted(subject[CEILINGS])) if CEILINGS in subject else ()
    return Recording(trials, missing, ceilings)


def _check_owner(where: str, subject: Any, key: SubjectKey) -> None:
    """Raise InputError where the attributes name another subject or data set than the file name."""
    name, dataset = (text(subject.attrs.get(name)) for name in ("subjectID", "dataset_name"))
    if name not in (None, key.subject) or (
        dataset is not None and key.long_names and dataset not in (*key.long_names, key.dataset)
    ):
        raise InputError(
            f"{where}: its name says {key.name}, its attributes {name} of {dataset}; give it its "
            "name again, as downloaded"
        )
    if not isinstance(subject.get(BETAS), h5py.Group) or not len(subject[BETAS]):
        raise InputError(
            f"{where}: expected a group {BETAS} with trials, found none; download it again"
        )


def _read_trials(where: str, subject: Any, key: SubjectKey) -> tuple[tuple[Trial, ...], list[str]]:
    """Read the trials' headers, and list what is wrong with them."""
    trials, lines = [], []
    for name in sorted(subject[BETAS]):
        found = _read_trial(name, subject[BETAS][name], key)
        if isinstance(found, Trial):
            trials.append(found)
        else:
            lines.append(f"{where}: trial {name!r}: {found}")
    return tuple(trials), lines


def _read_trial(name: str, data: Any, key: SubjectKey) -> Trial | str:
    """Read one trial's header; return what is wrong, and the cure, where something is."""
    parts = parse_trial(name)
    if parts is None or parts.key != key.name:
        return (
            f"expected a name such as {key.name}_stimulus-NAME_phase-train_rep-0; download the "
            "file again"
        )
    shape, kind = getattr(data, "shape", None), getattr(getattr(data, "dtype", None), "kind", "")
    if shape != (N_GRAYORDINATES,) or kind != "f":
        return (
            f"expected floats of ({N_GRAYORDINATES},), found {getattr(data, 'dtype', 'a group')} "
            f"of {shape}; download the file again"
        )
    stimulus, phase, repetition = (text(data.attrs.get(attribute)) for attribute in _ATTRIBUTES)
    if not stimulus or Path(stimulus).stem != parts.stem:
        return (
            f"expected the attribute {_ATTRIBUTES[0]} to be the file of stimulus {parts.stem!r}, "
            f"found {stimulus!r}; download the file again"
        )
    if phase != parts.phase or repetition != str(parts.repetition):
        return (
            f"its name and its attributes differ: phase {phase!r}, repetition {repetition!r}; "
            "download the file again"
        )
    return Trial(name, stimulus, parts.phase)


def _read_missing(where: str, file: Any, subject: Any) -> NDArray[np.int64]:
    """Read the grayordinates that lack a value; merged files have them as an attribute."""
    held = [subject.get(MISSING), subject.attrs.get(MISSING), file.attrs.get(MISSING)]
    found = next((values for values in held if values is not None), None)
    values = np.asarray([-1] if found is None else found[()])
    whole = values.reshape(-1)
    if len(whole) and (
        whole.dtype.kind not in "iuf"
        or (whole != np.rint(whole)).any()
        or whole.min() < 0
        or whole.max() >= N_GRAYORDINATES
    ):
        raise InputError(
            f"{where}: expected {MISSING} with numbers of grayordinates, 0 to "
            f"{N_GRAYORDINATES - 1:,}, found {'none' if found is None else 'others'}; download it "
            "again"
        )
    return np.unique(whole.astype(np.int64))


def text(value: Any) -> str | None:
    """Return an attribute as text, whatever type it was stored as; None where it is missing."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size == 1 else value.tolist()
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
