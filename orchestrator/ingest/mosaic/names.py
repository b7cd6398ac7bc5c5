"""The names in MOSAIC: of data sets, subjects, trials, noise ceilings and tables of stimuli."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

LONG_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "BMD": ("BOLDMomentsDataset",),
    "BOLD5000": ("BOLD5000",),
    "deeprecon": ("deeprecon",),
    "GOD": ("GenericObjectDecoding",),
    "HAD": ("HumanActionsDataset",),
    "NOD": ("NaturalObjectDataset",),
    "NSD": ("NaturalScenesDataset",),
    "THINGS": ("THINGS", "THINGS_fmri"),
}
"""For the short name of each data set, which file names have, its long ones."""
NSD: Final = "NSD"
PHASES: Final = ("train", "test")
_KEY: Final = re.compile(r"(sub-0*([1-9][0-9]*))_([A-Za-z0-9]+)(?:_crc32-[0-9A-Fa-f]+)?")
_TRIAL: Final = re.compile(
    r"(?P<key>sub-[0-9]+_[A-Za-z0-9]+)_stimulus-(?P<stem>.+)"
    r"_phase-(?P<phase>train|test)_rep-(?P<repetition>[0-9]+)"
)
_ENTRY: Final = re.compile(r"(sub-[0-9]+_[A-Za-z0-9]+)_stimulus-(.+)")


@dataclass(frozen=True)
class SubjectKey:
    """One subject of one data set."""

    subject: str
    """``sub-01``."""
    dataset: str
    """Short name: ``NSD``."""

    @property
    def name(self) -> str:
        """Return the name in files: ``sub-01_NSD``."""
        return f"{self.subject}_{self.dataset}"

    @property
    def number(self) -> int:
        """Return the subject's number."""
        return int(self.subject.partition("-")[2])

    @property
    def ingested(self) -> str:
        """Return the name of the ingested data set: ``mosaic-nsd``."""
        return f"mosaic-{self.dataset.lower()}"

    @property
    def table(self) -> str:
        """Return the name of the data set's table of stimuli: ``nsd_stiminfo.tsv``."""
        short = "b5000" if self.dataset == "BOLD5000" else self.dataset.lower()
        return f"{short}_stiminfo.tsv"

    @property
    def long_names(self) -> tuple[str, ...]:
        """Return the long names of the data set; none of one that MOSAIC does not have yet."""
        return LONG_NAMES.get(self.dataset, ())

    def ceiling(self, phase: str, n: str) -> str:
        """Return the name of noise ceilings. phase: train, test or artificial. n: 1 or avg."""
        return f"{self.name}_phase-{phase}_n-{n}_noiseceiling"


@dataclass(frozen=True)
class TrialName:
    """The parts of a trial's name."""

    key: str
    stem: str
    """The stimulus' file name without its extension."""
    phase: str
    repetition: int


def parse_key(name: str) -> SubjectKey | None:
    """Parse the name of a file (without extension) or group of one subject; None for another.

    >>> parse_key("sub-01_NSD_crc32-0a1b2c3d")
    SubjectKey(subject='sub-01', dataset='NSD')
    """
    match = _KEY.fullmatch(name)
    return SubjectKey(f"sub-{int(match[2]):02d}", match[3]) if match else None


def parse_trial(name: str) -> TrialName | None:
    """Parse the name of a trial; None for another.

    >>> parse_trial("sub-01_GOD_stimulus-n1_2_phase-test_rep-3")
    TrialName(key='sub-01_GOD', stem='n1_2', phase='test', repetition=3)
    """
    match = _TRIAL.fullmatch(name)
    if match is None:
        return None
    return TrialName(match["key"], match["stem"], match["phase"], int(match["repetition"]))


def parse_entry(name: str) -> tuple[str, str] | None:
    """Parse the name of a stimulus in a list of a split: (``sub-01_NSD``, its file name)."""
    match = _ENTRY.fullmatch(name)
    return (match[1], match[2]) if match else None
