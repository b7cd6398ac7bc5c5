"""Sum up many problems of one kind in one line, so that the others can be seen."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from trainables.wording import EXAMPLES, and_more

_VARYING: Final = re.compile(r"'[^']*'|[^\s;,()]*\d[^\s;,()]*")
"""What differs between problems of one kind: quoted words, numbers, and names with digits."""


def summed_up(lines: Iterable[str]) -> list[str]:
    """List up to three problems of each kind as they are; sum up more in one line.

    lines: ``PATH: problem; cure``. Those that differ only in their paths, in numbers and in quoted
    words are of one kind. The line of many has three examples and the count. What is no UTF-8 in a
    path is escaped.
    """
    kinds: dict[str, list[str]] = {}
    for line in map(printable, lines):
        kinds.setdefault(_VARYING.sub("#", line.partition(": ")[2] or line), []).append(line)
    return [line for same in kinds.values() for line in _of_one_kind(same)]


def printable(text: str) -> str:
    r"""Escape the bytes of a path that are not UTF-8, as ``caf\xe9.png``."""
    raw = text.encode("utf-8", "surrogateescape" if _is_path(text) else "backslashreplace")
    return raw.decode("utf-8", "backslashreplace")


def _is_path(text: str) -> bool:
    return not re.search("[\ud800-\udc7f\udd00-\udfff]", text)


def _of_one_kind(lines: Sequence[str]) -> Sequence[str]:
    if len(lines) <= EXAMPLES:
        return lines
    where, _, problem = lines[0].partition(": ")
    places = list(dict.fromkeys(line.partition(": ")[0] for line in lines))
    n_more = and_more(len(lines)).strip()
    if problem and len(places) >= EXAMPLES:
        return [f"{', '.join(places[:EXAMPLES])} {n_more}: {problem}"]
    others = [line.removeprefix(f"{where}: ") for line in lines[1:EXAMPLES]]
    examples = [line.rpartition("; ")[0] or line for line in (lines[0], *others)]
    return [f"{'; '.join(examples)}; {n_more}; {lines[0].rpartition('; ')[2]}"]
