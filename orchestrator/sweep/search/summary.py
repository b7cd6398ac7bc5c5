"""The results of a search: its history, the hyperparameter file, a table and figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from rich.table import Table

from orchestrator.sweep.hyperparameters import Found, write_hyperparameters
from orchestrator.sweep.search.figures import draw_importance, draw_parallel, importance
from orchestrator.sweep.search.study import Configurations, Record, rank_shares
from trainables.spec.labels import SHORT
from trainables.spec.search import Value
from trainables.storage.atomic import write_text

HISTORY: Final = "history.jsonl"
FROZEN: Final = "hyperparameters.json"
SHOWN: Final = 10
KEPT: Final = 5


@dataclass(frozen=True)
class Standing:
    """One configuration in the ranking; a higher rank share is better."""

    configuration: str
    values: Mapping[str, Value]
    rank_share: float
    top1: float
    """Mean top-1 over ROIs, of finished and stopped trials, each at its last epoch."""
    finished: int
    stopped: int
    diverged: int


def standings(configurations: Configurations, records: Sequence[Record]) -> list[Standing]:
    """List configurations from best to worst; among equals, earlier proposals come first."""
    rows = []
    for name, share in rank_shares(records).items():
        own = [one for one in records if one.configuration == name]
        stopped = sum(one.stopped for one in own)
        diverged = sum(one.epochs == 0 for one in own)
        top1 = float(np.mean([one.top1 for one in own]))
        finished = len(own) - stopped - diverged
        rows.append(Standing(name, configurations[name], share, top1, finished, stopped, diverged))
    return sorted(rows, key=lambda row: -row.rank_share)


def write_history(home: Path, records: Sequence[Record]) -> None:
    """Write the record of every (configuration, ROI), one JSON object per line."""
    write_text(home / HISTORY, "".join(json.dumps(asdict(one)) + "\n" for one in records))


def freeze(home: Path, ranked: Sequence[Standing], found: Found) -> Path:
    """Write the best configuration's values, unless the file exists; return the file."""
    path = home / FROZEN
    if not path.exists():
        write_hyperparameters(path, ranked[0].values, found)
    return path


def summarise_best(ranked: Sequence[Standing]) -> tuple[dict[str, Any], ...]:
    """Return the best configurations in the form of the hyperparameter file."""
    return tuple({**asdict(one), "values": dict(one.values)} for one in ranked[:KEPT])


def draw(home: Path, study: optuna.Study, ranked: Sequence[Standing], title: str) -> list[Path]:
    """Draw importances, if there are enough configurations, and parallel coordinates.

    title: above each figure; empty for none.
    """
    found = importance(study)
    written = draw_importance(found, home / "importance", title) if found else []
    values, shares = [one.values for one in ranked], [one.rank_share for one in ranked]
    return [*written, *draw_parallel(values, shares, home / "parallel", title)]


def best_table(ranked: Sequence[Standing]) -> Table:
    """Make the terminal's table of the best configurations."""
    names = [name for name in SHORT if name in ranked[0].values]
    columns = ["rank", "top-1", "done", "stopped", *(SHORT[name] for name in names)]
    table = Table(*columns, box=None, padding=(0, 1, 0, 0))
    table.title = "best configurations by rank share over ROIs"
    for one in ranked[:SHOWN]:
        ended = (str(one.finished), str(one.stopped + one.diverged))
        values = [f"{one.values[name]:.3g}" for name in names]
        table.add_row(f"{one.rank_share:.3f}", f"{one.top1:.1%}", *ended, *values)
    return table
