"""Tables of transfer for the terminal: a row a model, a column a subject that it is scored on."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich import box
from rich.table import Table

from orchestrator.transfers import UNTUNED, Entry, Transfers

CAPTION: Final = (
    "row: subject whose responses the trunk was tuned on; column: subject that it is scored on, "
    "PCA and ridge fitted anew there; in brackets the model's own trial. Means over the vertices "
    "of a cell, then over the cells that model and subject share"
)


def transfer_tables(found: Sequence[Transfers], protocol: str) -> list[Table]:
    """Lay out mean r, and the share better than untuned where there are untuned scores."""
    tables = []
    for one in found:
        title = f"{one.method}, {one.row.label}, protocol {protocol}"
        tables.append(_table(one, f"{title}: mean r", lambda entry: _r(entry.mean)))
        _add_untuned(tables[-1], one)
        if any(entry.better is not None for entry in one.entries.values()):
            what = f"{title}: vertices better than untuned"
            tables.append(_table(one, what, lambda entry: _percent(entry.better)))
    if tables:
        tables[-1].caption = CAPTION
    return tables


def _table(one: Transfers, title: str, show: Callable[[Entry], str]) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    table.add_column("tuned on", overflow="fold")
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
