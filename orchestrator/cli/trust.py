"""Consent to run code that a directory records: by an option, or as code of the user's own.

What a user has named in a command (a network's file), and each command itself that is recorded in a
directory of results, is remembered on this machine by its SHA-256. Directories that hold the same
code or command are then used without a question; for others, ``--trust-code`` is asked for.
"""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from orchestrator.cli.errors import InputError
from trainables.storage import user_cache
from trainables.wording import some

if TYPE_CHECKING:
    from trainables.results.run_directory import RunDirectory
    from trainables.spec import Backbone

TrustCode = Annotated[
    bool,
    Parameter(
        help="Run the code of backbones that come from a user's file (nets/my_net.py:build), which "
        "the models contain; it can do whatever you can.",
        show_default="refuse such models",
    ),
]
TrustRecordedCode = Annotated[
    bool,
    Parameter(
        help="Run code that the directory records and that you have not run on this machine: of "
        "users' files of networks, or of search spaces; it can do whatever you can.",
        show_default="refuse such code",
    ),
]
DIRECTORY: Final = ("cortex-sweep", "trusted-code")
"""Directories of the record in the cache directory: an empty file for each text."""


def remember(text: str) -> None:
    """Remember that the user ran a text on this machine; without a place for that, do nothing."""
    path = _path(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.touch(mode=0o600)
    except OSError:
        return


def is_remembered(text: str) -> bool:
    """Return whether the user, and nobody else, has made the record of a text."""
    try:
        return _path(text).stat().st_uid == os.getuid()
    except OSError:
        return False


def _path(text: str) -> Path:
    name = hashlib.sha256(text.encode()).hexdigest()
    return user_cache.cache().joinpath(*DIRECTORY, name)


def require_consent(
    backbones: "Iterable[Backbone]", runs: "RunDirectory", *, trust_code: bool
) -> None:
    """Raise InputError if a backbone that runs record is code that the user has not run here.

    trust_code: the user's consent to all of it.
    """
    unknown = [
        one.architecture
        for one in backbones
        if one.source is not None and not (trust_code or is_remembered(one.source))
    ]
    if unknown:
        raise InputError(
            f"{runs}: the backbone {some(list(dict.fromkeys(unknown)))} is code, which you have "
            f"not run on this machine; read it in {runs.outcomes} (trial, backbone, "
            "source), and if you trust it, give --trust-code"
        )
