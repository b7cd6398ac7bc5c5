"""Read the names of a family's labels from a FreeSurfer colour table, ``NAME.mgz.ctab``."""

import re
from collections import Counter
from pathlib import Path
from typing import Final

from orchestrator.cli.errors import InputError
from orchestrator.cli.values import shortened
from orchestrator.ingest.regions import NO_LABEL
from orchestrator.ingest.tables import read_text
from trainables.spec import is_name
from trainables.spec.rois import in_family

_LINE: Final = re.compile(r"(-?[0-9]{1,9})\s+(\S+)(?:\s+[0-9]+){0,4}", re.ASCII)
"""``id name``, maybe followed by a colour."""


def read_roi_names(path: Path, family: str) -> dict[int, str]:
    """Read the ROI name of each label of a family, without that of NO_LABEL.

    Lines are ``id name``, separated by white space of any kind. Raises InputError for other lines,
    an id or a name that comes twice, or a name that can't be part of a path.
    """
    lines = [line.strip() for line in re.split(r"\r\n|\r|\n", read_text(path, "label names"))]
    numbered = [(number, line) for number, line in enumerate(lines, start=1) if line]
    matches = [(number, line, _LINE.fullmatch(line)) for number, line in numbered]
    problems = [
        f"{path}: line {number} is {shortened(line)}; expected a number and a name: download it "
        "again"
        for number, line, match in matches
        if match is None or not is_name(match[2])
    ]
    pairs = [(int(match[1]), match[2]) for _, _, match in matches if match]
    labelled = [(label, name) for label, name in pairs if label > NO_LABEL]
    problems += [
        f"{path}: {what} {key} comes {count} times; expected once: download it again"
        for what, keys in (("label", [k for k, _ in pairs]), ("name", [n for _, n in labelled]))
        for key, count in Counter(keys).items()
        if count > 1
    ]
    if not labelled and not problems:
        problems.append(
            f"{path}: expected names of labels from 1 on, found none; download it again"
        )
    if problems:
        raise InputError(*problems)
    return {label: in_family(family, name) for label, name in labelled}
