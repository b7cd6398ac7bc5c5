"""The faults that mutmut generates, and their verdicts."""

import contextlib
import os
import shutil
from pathlib import Path
from typing import Final

from mutmut.__main__ import create_mutants
from mutmut.mutation.data import SourceFileMutationData
from mutmut.utils.file_utils import copy_also_copy_files, copy_src_dir, walk_mutatable_files

SURVIVED: Final = 0
NOTICED: Final = 1
NO_TESTS: Final = 33
TIMEOUT: Final = 36
"""Verdicts, as mutmut writes them."""


def generate() -> None:
    """Write sources with every fault, and what the tests need, to mutants/."""
    with Path(os.devnull).open("w") as quiet, contextlib.redirect_stdout(quiet):
        shutil.rmtree("mutants/tests", ignore_errors=True)  # a test that is gone must not stay
        copy_src_dir()
        copy_also_copy_files()
        create_mutants(max_children=1)


class Verdicts:
    """What became of each fault, in mutmut's files; mutmut discards those of changed functions."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFileMutationData] = {}
        for path in walk_mutatable_files():
            data = SourceFileMutationData(path=path)
            data.load()
            self._files |= dict.fromkeys(data.exit_code_by_key, data)

    def names(self) -> list[str]:
        """Return the name of every fault, sorted."""
        return sorted(self._files)

    def of(self, name: str) -> int | None:
        """Return the verdict of a fault, None where it was not run."""
        return self._files[name].exit_code_by_key[name]

    def record(self, name: str, verdict: int) -> None:
        """Keep a verdict."""
        self._files[name].exit_code_by_key[name] = verdict
        self._files[name].save()
