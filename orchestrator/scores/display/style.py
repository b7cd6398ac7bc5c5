"""The style of all score tables, and the format of their numbers; a missing number is –."""

from rich.table import Table

from orchestrator.scores.rows import Row


def draw_line(table: Table, last: Row | None, row: Row, *, apart: bool) -> None:
    """Draw a line before a total, and between rows where each has several methods."""
    starts = last is not None and row.label != last.label
    if starts and (apart or (row.is_total and last is not None and not last.is_total)):
        table.add_section()
