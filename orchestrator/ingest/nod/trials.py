"""Read the image of each trial of a NOD run from its label file or events, and locate it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import lexists
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.tables import read_number, read_rows, read_text

_IMAGE_NAME: Final = re.compile(r"\S+?\.(?:jpe?g|png)", re.IGNORECASE)


@dataclass(frozen=True)
class Run:
    """The files of one run, any of which may not exist."""

    name: str
    """``session 1 run 3``."""
    betas: Path
    """One map per trial."""
    labels: Path
    """The names of the trials' images, in order."""
    events: Path
    """The BIDS events, whose column stim_file also names the images."""


def read_image_names(run: Run) -> tuple[str, ...]:
    """Read the image of each trial from the label file, the events, or both.

    Raises InputError when both are missing, when one is invalid, or when they disagree.
    """
    if not run.labels.is_file() and not run.events.is_file():
        raise InputError(
            f"{run.labels}: the images of {run.name} are named neither there nor in {run.events}; "
            "download one of them again"
        )
    if not run.labels.is_file():
        return read_events(run.events)
    labels = read_label_file(run.labels)
    if not run.events.is_file():
        return labels
    events = read_events(run.events)  # its names come with their folders
    _check_agreement(run, labels, events)
    return events


def read_label_file(path: Path) -> tuple[str, ...]:
    """Read image names, one per line or concatenated without separators."""
    text = read_text(path, "image names")
    names = _IMAGE_NAME.findall(text)
    rest = _IMAGE_NAME.sub("", text).split()
    if rest or not names:
        found = repr(rest[0][:40]) if rest else "none"
        raise InputError(
            f"{path}: expected image names such as n01440764_172.JPEG, found {found}; "
            "download it again"
        )
    return tuple(names)


def read_events(path: Path) -> tuple[str, ...]:
    """Read the column stim_file of a BIDS events file, in the order of onsets."""
    rows = read_rows(path, "events", ("onset", "stim_file"))
    onsets = [read_number(path, row["onset"]) for row in rows]
    names = tuple(rows[k]["stim_file"] for k in sorted(range(len(rows)), key=onsets.__getitem__))
    if not names or not all(names):
        raise InputError(f"{path}: expected a stim_file for each event; download it again")
    if len(set(onsets)) < len(onsets):
        raise InputError(
            f"{path}: expected events one after another, found some with equal onsets; download "
            "it again"
        )
    return names


def _check_agreement(run: Run, labels: Sequence[str], events: Sequence[str]) -> None:
    if len(labels) != len(events):
        raise InputError(
            f"{run.labels}: {len(labels):,} image names, but {len(events):,} events in "
            f"{run.events}; download both again, or move the wrong one elsewhere"
        )
    for trial, (label, event) in enumerate(zip(labels, events, strict=True), start=1):
        if stimulus_of(label) != stimulus_of(event):
            raise InputError(
                f"{run.labels}: trial {trial} shows {Path(label).name}, but {run.events} has "
                f"{Path(event).name}; download both again, or move the wrong one elsewhere"
            )


def stimulus_of(name: str) -> str:
    """Return a stimulus's id in ImageNet: the file name without folder and extension.

    >>> stimulus_of("imagenet/n01440764/n01440764_172.JPEG")
    'n01440764_172'
    """
    return Path(name).stem


def locate_image(stimuli: Path, name: str) -> Path:
    """Return the path of an image in the folder of stimuli, whether or not it exists."""
    outside = ("..", Path(name).anchor)  # an anchor may be two slashes
    inside = [part for part in Path(name).parts if part not in outside]
    bare = Path(*inside).name
    usual = stimuli / "imagenet" / bare.split("_")[0] / bare
    if list(Path(name).parts) != inside:
        return usual
    places = (stimuli / name, usual, stimuli / "imagenet" / name)
    return next((place for place in places if lexists(place)), usual)
