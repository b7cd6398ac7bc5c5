"""The progress bars of an ingest, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from orchestrator.cli.terminal import can_redraw


class _Rate(ProgressColumn):
    """Show images per second since the bar started."""

    def render(self, task: Task) -> Text:
        seconds = task.finished_time or task.elapsed
        return Text(f"{task.completed / seconds:,.0f} images/s" if seconds else "", style="cyan")


def progress_bars() -> Progress:
    """Make progress bars that count images, and show images per second."""
    return _bars(MofNCompleteColumn(), _Rate())


def byte_bars() -> Progress:
    """Make progress bars that count bytes, and show megabytes per second."""
    return _bars(DownloadColumn(), TransferSpeedColumn())


def _bars(*counts: ProgressColumn) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        *counts,
        TimeRemainingColumn(),
        console=console,
        disable=console.is_terminal and not can_redraw(console),
    )


@contextmanager
def bar(progress: Progress, description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar; yield the function that advances it."""
    task = progress.add_task(description, total=total)

    def advance(count: int) -> None:
        progress.advance(task, count)

    yield advance
    progress.stop_task(task)
