"""The display of a sweep: one line per running trial, the estimated end, the best trial so far."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from orchestrator.cli.terminal import can_redraw
from orchestrator.cli.text import duration
from orchestrator.execution.remaining_time import RemainingTime

REFRESH_SECONDS: Final = 1.0
OTHER_LINES: Final = 4
"""Lines of a terminal that running trials leave free: what is below them would not be drawn."""
IDLE_SECONDS: Final = 180.0
"""Seconds without a running trial after which the display says what is missing."""


@dataclass
class Display:
    """The terminal display of one sweep; without a terminal, one line per trial that ends."""

    console: Console
    costs: Mapping[str, float]
    """Estimated seconds of each waiting trial."""
    epochs: Mapping[str, int]
    """Epochs of each fine-tuned trial."""
    progress: Callable[[], list[dict[str, Any]]]
    """Returns the progress of the running trials."""
    score: Callable[[str], float | None]
    """Returns a finished trial's score, such as its mean r."""
    missing: Callable[[], str]
    """Describes what the cluster lacks for another worker."""
    publish: Callable[[Sequence[Mapping[str, Any]], float | None], None] = lambda running, left: (
        None
    )
    """Writes the running trials and the seconds left to disk, for other commands to read."""
    measure: str = "mean r"
    """Name of the score."""
    unscored: str = "no score"
    """Text to show without a score."""
    redraws: bool = True
    """Whether a terminal shows running trials in lines that are redrawn."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Names of trials by id; a trial without one is shown by its id."""
    finished_ids: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    best: tuple[float, str] | None = None
    _remaining: RemainingTime = field(init=False)
    _started: float = field(default_factory=time.time)
    _last_busy: float = field(default_factory=time.time)
    _closing: threading.Event = field(default_factory=threading.Event)
    _live: Live | None = None
    _thread: threading.Thread | None = None

    def __post_init__(self) -> None:
        self._remaining = RemainingTime(self.costs)

    def __enter__(self) -> "Display":
        if self.redraws and can_redraw(self.console):
            self._live = Live(console=self.console, auto_refresh=False, transient=True)
            self._live.start()
        self._thread = threading.Thread(target=self._refresh, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(REFRESH_SECONDS * 3)
        if self._live is not None:
            self._live.stop()

    def finished(self, trial_id: str) -> None:
        """Show a finished trial with its score."""
        self.finished_ids.append(trial_id)
        self._remaining.finish(trial_id, time.time())
        r = self.score(trial_id)
        if r is not None and (self.best is None or r > self.best[0]):
            self.best = (r, self._name(trial_id))
        shown = self.unscored if r is None else f"{self.measure} {r:.3f}"
        line = f"{self._count()} {escape(self._name(trial_id))}  {shown}  {self._eta()}"
        self.console.print(line, highlight=False)

    def failed(self, trial_id: str, error: str) -> None:
        """Show a failed trial with the last line of its error."""
        self._remaining.drop(trial_id)
        self.failures[trial_id] = error.strip().splitlines()[-1] if error.strip() else "unknown"
        what = f"[red]failed[/red]: {escape(self.failures[trial_id])}"
        name = escape(self._name(trial_id))
        self.console.print(f"{self._count()} {name}  {what}", highlight=False)

    def _name(self, trial_id: str) -> str:
        return self.names.get(trial_id, trial_id)

    def _count(self) -> str:
        return f"[{len(self.finished_ids) + len(self.failures)}/{len(self.costs)}]"

    def _eta(self) -> str:
        seconds = self._remaining.seconds_left(time.time())
        return "" if seconds is None else f"about {duration(seconds)} left"

    def _refresh(self) -> None:
        while not self._closing.wait(REFRESH_SECONDS):
            with suppress(Exception):  # the queue is busy or gone: try again in a second
                self._refresh_once()

    def _refresh_once(self) -> None:
        """Publish the running trials, and show them on a terminal."""
        running, now = self.progress(), time.time()
        self._remaining.observe([one["trial_id"] for one in running], now)
        named = [{**one, "name": self._name(one["trial_id"])} for one in running]
        self.publish(named, self._remaining.seconds_left(now))
        self._warn_when_idle(running)
        if self._live is not None:
            self._live.update(self._render(running), refresh=True)

    def _warn_when_idle(self, running: list[dict[str, Any]]) -> None:
        """Print what is missing, every few minutes while no trial is running."""
        now = time.time()
        if running:
            self._last_busy = now
        elif now - self._last_busy > IDLE_SECONDS:
            self._last_busy = now
            self.console.print(
                f"no worker has started for {duration(IDLE_SECONDS)}: {escape(self.missing())}",
                highlight=False,
            )

    def _render(self, running: list[dict[str, Any]]) -> Group:
        table = Table.grid(padding=(0, 2))
        n_shown = max(1, self.console.height - OTHER_LINES)
        for one in running[:n_shown]:
            table.add_row(*self._line(one))
        if len(running) > n_shown:
            table.add_row(f"… and {len(running) - n_shown} more; sweep status lists all")
        best = f"best {self.best[0]:.3f} {self.best[1]}" if self.best else ""
        elapsed = duration(time.time() - self._started)
        now = f"{len(running)} running, {len(self.failures)} failed"
        status = f"{self._count()} {now}, {elapsed}, {self._eta()}  {best}"
        if not running:
            table.add_row("starting workers …" if not self.finished_ids else "")
        return Group(table, Text(status))

    def _line(self, one: dict[str, Any]) -> tuple[str, str, str, str, str]:
        epochs = self.epochs.get(one["trial_id"])
        epoch = f"epoch {one['epoch']}/{epochs}" if epochs and one["epoch"] else ""
        loss = "" if one["loss"] is None else f"loss {one['loss']:.3f}"
        top1 = "" if one["retrieval_top1"] is None else f"top-1 {one['retrieval_top1']:.1%}"
        rate = one["images_per_second"]
        stage = one["stage"] if rate is None else f"{one['stage']} {rate:,.0f} images/s"
        return self._name(one["trial_id"]), stage, epoch, loss, top1
