"""Tables of transfer for the terminal: one row per model, one column per scored subject."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.scores.statistics.transfers import UNTUNED, Entry, Transfers

CAPTION: Final = (
    "row: subject that the backbone was fine-tuned on; column: subject that it is "
    "scored on, PCA and ridge fitted again there; in brackets the model's own trial. Means over "
    "the vertices of an ROI, then over the ROIs that model and subject share"
)


def transfer_tables(found: Sequence[Transfers], protocol: str) -> list[RenderableType]:
    """Tabulate mean r, and the share better than untuned where there are untuned scores."""
    parts: list[RenderableType] = []
    for one in found:
        title = f"{one.method}, {one.row.label}, protocol {protocol}"
        table = _table(one, lambda entry: _r(entry.mean))
        _add_untuned(table, one)
        parts += [_title(f"{title}: mean r"), table]
        if any(entry.better is not None for entry in one.entries.values()):
            parts.append(_title(f"{title}: vertices better than untuned"))
            parts.append(_table(one, lambda entry: _percent(entry.better)))
    return [*parts, Text(CAPTION, style="dim italic")] if parts else []


def _title(text: str) -> Text:
    return Text(text, style="bold")


def _table(one: Transfers, show: Callable[[Entry], str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    table.add_column("fine-tuned on", overflow="fold")
    for target in one.targets:
        table.add_column(target, justify="right", no_wrap=True)
    for model in one.models:
        entries = (one.entries.get((model, target)) for target in one.targets)
        table.add_row(model, *_marked(entries, show))
    return table


def _marked(entries: Iterable[Entry | None], show: Callable[[Entry], str]) -> Iterable[str]:
    for entry in entries:
        if entry is None:
            yield ""
        else:
            yield f"({show(entry)})" if entry.is_own else show(entry)


def _add_untuned(table: Table, one: Transfers) -> None:
    if one.untuned:
        table.add_section()
        shown = [_r(one.untuned.get(target)) for target in one.targets]
        table.add_row(UNTUNED, *shown)


def _r(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
