"""The figures of the GPU check, printed and written as they are measured."""

import json
import statistics
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.ceilings import timed


class Report:
    """Figures by section and name; the file is rewritten after each figure.

    seconds: time after which no further section starts.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self._started = time.perf_counter()
        self._found: dict[str, dict[str, Any]] = {}
        self.section = "start"

    @property
    def seconds_left(self) -> float:
        """Return the seconds until no further section starts."""
        return self._started + self._seconds - time.perf_counter()

    def has_time(self, section: str) -> bool:
        """Return whether a section may start; record it as skipped if not."""
        if self.seconds_left > 0:
            return True
        self.section = section
        self.add("skipped", reason=f"the limit of {self._seconds:.0f} s has passed")
        return False

    def add(self, name: str, **values: Any) -> None:
        """Record figures under a name."""
        self._found.setdefault(self.section, {})[name] = values
        content = json.dumps(self._found, indent=1, default=str) + "\n"
        self._path.write_text(content, encoding="utf-8")
        shown = ", ".join(f"{key} {_short(value)}" for key, value in values.items())
        elapsed = time.perf_counter() - self._started
        print(f"[{elapsed:5.0f} s] {self.section}: {name}: {shown}", flush=True)

    def attempt(self, name: str, run: Callable[[], object]) -> None:
        """Run a check; record an error under its name instead of raising it."""
        try:
            run()
        except Exception as error:  # so that the next check still runs
            traceback.print_exc()
            self.add(name, error=f"{type(error).__name__}: {str(error)[:300]}")

    def measure(
        self,
        name: str,
        run: Callable[[], object],
        device: torch.device,
        *,
        scale: float = 1.0,
        repeats: int = 3,
        **more: Any,
    ) -> float:
        """Time a step after a warm-up, with its peak memory; return the median seconds.

        scale: number of such steps in the whole.
        """
        if device.type == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated() if device.type == "cuda" else 0
        first = timed(run, device)
        seconds = [timed(run, device) for _ in range(repeats)]
        peak = torch.cuda.max_memory_allocated() - held if device.type == "cuda" else 0
        middle = statistics.median(seconds)
        self.add(
            name,
            seconds=scale * middle,
            spread=[scale * min(seconds), scale * max(seconds)],
            first=first,
            peak_gb=peak / 1e9,
            **more,
        )
        return middle


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_short, value)) + "]"
    return str(value)
