"""What the page has no section of: analyses by the reason, and the command that makes them."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.analyze.analysis import NOT_MADE, Inputs, Missing


@dataclass(frozen=True)
class NotAvailable:
    """Analyses whose tables are missing for one reason."""

    titles: tuple[str, ...]
    reason: str
    cure: str


def not_available(inputs: Inputs, found: Iterable[tuple[str, Missing]]) -> list[NotAvailable]:
    """Group missing analyses by reason and cure, in their order; `analyze` makes all new ones.

    found: the title of each, and why it is missing.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    for title, missing in found:
        cure = _analyze(inputs) if missing.reason == NOT_MADE else missing.cure
        groups.setdefault((missing.reason, cure), []).append(title)
    return [NotAvailable(tuple(titles), *why) for why, titles in groups.items()]


def _analyze(inputs: Inputs) -> str:
    data, out = (shlex.quote(str(one)) for one in (inputs.data, inputs.runs))
    return f"run python -m orchestrator.analyze --data {data} --out {out}"
