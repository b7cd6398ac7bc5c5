"""The style of all score tables, and the format of their numbers; a missing number is –."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol, Self

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.scores.rows import Row
from trainables.spec.labels import SHORT, split_label


@dataclass(frozen=True)
class SettingColumns:
    """The columns of a table that name a method, and each value in which its settings differ."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, labels: Iterable[str]) -> Self:
        """Make the columns of a table whose rows have these labels."""
        found = (split_label(label)[1] for label in labels)
        return cls(tuple(dict.fromkeys(name for values in found for name in values)))

    def add_to(self, table: Table) -> None:
        """Add the columns to a table."""
        table.add_column("method", no_wrap=True)
        for name in self.names:
            table.add_column(SHORT.get(name, name), justify="right", overflow="fold")

    @property
    def note(self) -> str:
        """The names of the values whose columns have short heads; to follow a caption."""
        short = [f"{SHORT[name]}: {name}" for name in self.names if SHORT.get(name, name) != name]
        return f"; {', '.join(short)}" if short else ""

    def cells(self, label: str) -> tuple[str, ...]:
        """Return the cells of a row with this label; empty where its method lacks a value."""
        method, values = split_label(label)
        return (method, *(values.get(name, "") for name in self.names))


SIMULATED: Final = "SIMULATED DATA"
"""The mark of everything that shows scores of simulated responses."""


def mark_simulated(shown: RenderableType) -> RenderableType:
    """Put the mark before the title of a table, or before a bold line that is one."""
    if isinstance(shown, Table) and shown.title is not None:
        shown.title = f"{SIMULATED}: {shown.title}"
    elif isinstance(shown, Text) and shown.style == "bold":
        return Text(f"{SIMULATED}: {shown.plain}", style="bold")
    return shown


def draw_line(table: Table, last: Row | None, row: Row, *, apart: bool) -> None:
    """Draw a line before a total, and between rows where each has several methods."""
    starts = last is not None and row.label != last.label
    if starts and (apart or (row.is_total and last is not None and not last.is_total)):
        table.add_section()


class _Averaged(Protocol):
    @property
    def n_seeds(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class SeedsColumn:
    """The column that counts seeds, where a table has a row of several."""

    is_shown: bool

    @classmethod
    def of(cls, lines: Iterable[_Averaged]) -> Self:
        """Make the column of some rows."""
        return cls(any(one.n_seeds != (1, 1) for one in lines))

    @property
    def heads(self) -> tuple[str, ...]:
        """The column's head, if it is shown."""
        return ("seeds",) if self.is_shown else ()

    @property
    def note(self) -> str:
        """Say that r is averaged over seeds, where it is; to follow a caption."""
        return "; r of a vertex is the mean over seeds" if self.is_shown else ""

    @property
    def spread_note(self) -> str:
        """Say the same of a table whose means have their spread over seeds beside them."""
        return f"{self.note}; ±: standard deviation over seeds" if self.is_shown else ""

    def cell(self, n_seeds: tuple[int, int]) -> str:
        """Return the cell for the fewest and the most seeds of a row's ROIs."""
        low, high = n_seeds
        return str(low) if low == high else f"{low}–{high}"
