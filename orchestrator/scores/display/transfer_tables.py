"""Tables of transfer for the terminal: one row per model, one column per scored subject."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.cli.text import NONE, as_difference, as_r
from orchestrator.scores.display.interval_notes import describe_intervals
from orchestrator.scores.display.style import SettingColumns
from orchestrator.scores.statistics.hierarchical_interval import LEVEL
from orchestrator.scores.statistics.transfer_means import TransferMean, mean_transfer
from orchestrator.scores.statistics.transfers import Entry, Transfers

CAPTION: Final = (
    "row: subject that the backbone was fine-tuned on; column: subject that it is "
    "scored on, PCA and ridge fitted again there; in brackets the model's own trial. Means over "
    "the vertices of an ROI, then over the ROIs that model and subject share, which differ by "
    "pair: each difference from untuned is over the ROIs and vertices of its own pair"
)


def transfer_tables(found: Sequence[Transfers], protocol: str) -> list[RenderableType]:
    """Tabulate mean r, and what there is of untuned scores: difference and share better."""
    parts: list[RenderableType] = []
    for one in found:
        title = f"{one.method}, {one.row.label}, protocol {protocol}"
        parts += [_title(f"{title}: mean r"), _table(one, lambda entry: as_r(entry.mean))]
        if any(entry.better is not None for entry in one.entries.values()):
            parts.append(_title(f"{title}: mean r minus untuned"))
            parts.append(_table(one, lambda entry: as_difference(entry.gain)))
            parts.append(_title(f"{title}: vertices better than untuned"))
            parts.append(_table(one, lambda entry: _percent(entry.better)))
    means = [mean for mean in map(mean_transfer, found) if mean is not None]
    if means:
        parts += [_title(f"Models of other subjects, protocol {protocol}"), _mean_table(means)]
    caption = [CAPTION, *_left_out(found), *_describe_means(means)]
    return [*parts, Text(". ".join(caption), style="dim italic")] if parts else []


def _mean_table(means: Sequence[TransferMean]) -> Table:
    """Tabulate the gains of other subjects' models, with their intervals, row by row."""
    columns = SettingColumns.of(one.method for one in means)
    table = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    columns.add_to(table)
    table.add_column("ROIs", no_wrap=True)
    for head in ("r", "untuned", "diff.", f"{LEVEL:.0%} interval", "better", "pairs"):
        table.add_column(head, justify="right", no_wrap=True)
    for one in means:
        table.add_row(
            *columns.cells(one.method),
            one.row.label,
            as_r(one.mean),
            as_r(one.untuned),
            as_difference(one.gain),
            NONE if one.interval is None else " ".join(map(as_difference, one.interval)),
            _percent(one.better),
            str(one.n_pairs),
        )
    return table


def _describe_means(means: Sequence[TransferMean]) -> list[str]:
    """Describe the means over pairs and their intervals."""
    if not means:
        return []
    intervals = describe_intervals([one.uncertainty for one in means])
    return [f"Models of other subjects: means over pairs of subjects; {intervals}"]


def _left_out(found: Sequence[Transfers]) -> list[str]:
    """Describe the ROIs that are left out for lack of untuned scores."""
    n_most = max((e.n_unpaired for one in found for e in one.entries.values()), default=0)
    return [f"ROIs without untuned scores are left out: at most {n_most} a pair"] if n_most else []


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


def _percent(share: float | None) -> str:
    """Format a share in whole per cent: eight columns fit a terminal."""
    return NONE if share is None else f"{share:.0%}"
