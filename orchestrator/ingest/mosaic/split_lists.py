"""MOSAIC's lists of a split over all data sets, without stimuli that look alike on both sides."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from orchestrator.cli.errors import InputError
from orchestrator.ingest.entries import require_file
from orchestrator.ingest.mosaic.choices import TestImages
from orchestrator.ingest.mosaic.names import parse_entry
from trainables.data.shards import TEST, TRAIN
from trainables.wording import some

TRAINING_LIST: Final = "train_naturalistic.json"
TEST_LISTS: Final[Mapping[TestImages, tuple[str, ...]]] = {
    "natural": ("test_naturalistic.json",),
    "artificial": ("test_artificial.json",),
    "all": ("test_naturalistic.json", "test_artificial.json"),
}
Stimulus = tuple[str, str]
"""``sub-01_NSD`` and the stimulus' file name, with its extension."""


@dataclass(frozen=True)
class SplitLists:
    """The lists of a split, read."""

    files: tuple[Path, ...]
    sides: Mapping[Stimulus, str]
    """``train`` or ``test`` of each stimulus of each subject that is in a list."""


def read_split_lists(folder: Path, test: TestImages) -> SplitLists:
    """Read the lists of a folder.

    Trials are not looked up by the names in the lists, which end with .npz and may have another
    stem. Raises InputError when a list is of another form, or a stimulus is on both sides.
    """
    files = tuple(folder / name for name in (TRAINING_LIST, *TEST_LISTS[test]))
    train, *tests = map(_read_list, files)
    tested = set().union(*tests)
    both = sorted(train & tested)
    if both:
        raise InputError(
            f"{folder}: {len(both):,} stimuli are in lists of both sides, such as "
            f"{some([name for _, name in both[:3]])}; download the lists again, of one version"
        )
    sides = dict.fromkeys(train, TRAIN) | dict.fromkeys(tested, TEST)
    return SplitLists(files, sides)


def _read_list(path: Path) -> set[Stimulus]:
    require_file(path, "a list of the split")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({error}); download it again") from error
    entries = content if isinstance(content, list) else [content]
    names = [name for entry in entries if isinstance(entry, dict) for name in entry]
    parsed = [parse_entry(name) for name in names]
    found = {one for one in parsed if one is not None}
    if len(names) < len(entries) or None in parsed or not found:
        raise InputError(
            f"{path}: expected a list of {{'sub-01_NSD_stimulus-FILE': [trials]}}, found "
            f"{str(content)[:60]!r}; download it again"
        )
    return found
