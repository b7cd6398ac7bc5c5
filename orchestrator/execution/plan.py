"""Which trials a sweep runs: a search space on the chosen cells, less what is done.

Evaluations are planned alike, from the list that ``pairs.py`` makes of a sweep's models.
"""

import hashlib
import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Final

import search_spaces
from orchestrator.cli.process import InputError, subject_number
from orchestrator.execution.cost import Costs
from trainables.data.shards import hash_file
from trainables.results.outcome import Outcome
from trainables.results.score_files import read_score_file, score_file
from trainables.spec import FROM_FILE, Cell, Trial, Trunk, Untuned
from trainables.spec.evaluation import Work
from trainables.spec.rois import EARLY, HEMISPHERES, HIGHER, ROI_ORDER, STREAMS
from trainables.spec.search import Search

GROUPS: Final = {"early": EARLY, "higher": HIGHER, "streams": STREAMS}

Space = Callable[[Sequence[Cell]], Iterable[Trial]]


@dataclass(frozen=True)
class Selection:
    """Which cells a sweep is restricted to; None stands for all."""

    subjects: tuple[int, ...] | None = None
    hemispheres: tuple[str, ...] = HEMISPHERES
    rois: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Plan:
    """A sweep's trials, or evaluations, in the order they are run."""

    trials: tuple[Work, ...]
    """Every trial of the space, merged."""
    waiting: tuple[Work, ...]
    """Those that still have cells to score; all but tuned trials with these cells alone."""
    notes: tuple[str, ...] = ()
    """What the space says of its trials on these cells, such as what it leaves out; files that are
    damaged, and made again."""

    @property
    def n_done(self) -> int:
        """Count the trials that nothing is left to do for."""
        return len(self.trials) - len(self.waiting)


def space_names() -> list[str]:
    """Name the search spaces that come with the program."""
    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load_space(name: str) -> Space:
    """Load a search space by name, or from a Python file of one's own.

    Raises InputError when there is no such space, or it has no function ``trials(cells)``.
    """
    module = _load_file(Path(name)) if name.endswith(".py") else _load_named(name)
    trials = getattr(module, "trials", None)
    if not callable(trials):
        raise InputError(
            f"{name}: a search space needs a function trials(cells) that yields Trial values; "
            "search_spaces/paper.py is an example"
        )
    return trials  # type: ignore[no-any-return]


def load_search(name: str) -> Search | None:
    """Load the search that a search space declares as ``SEARCH``; None where it lists trials.

    Raises InputError when there is no such space, or SEARCH is something else.
    """
    module = _load_file(Path(name)) if name.endswith(".py") else _load_named(name)
    search = getattr(module, "SEARCH", None)
    if search is not None and not isinstance(search, Search):
        raise InputError(f"{name}: SEARCH is {search!r:.80}; expected a trainables.spec.Search")
    return search


def _load_named(name: str) -> ModuleType:
    if name not in space_names():
        raise InputError(
            f"no search space {name!r}; expected one of {', '.join(space_names())}, "
            "or the path of a .py file with trials(cells)"
        )
    return importlib.import_module(f"search_spaces.{name}")


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(f"{path}: no such search space; give the path of a .py file")
    spec = importlib.util.spec_from_file_location("user_search_space", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path}: could not be loaded: {_told(error, spec.origin)}") from error
    return module


def _told(error: Exception, file: str | None) -> str:
    """Tell an error with its line in a user's file; a syntax error names its own."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}{where}"


def parse_rois(text: str) -> tuple[str, ...]:
    """Read a list of ROIs and groups, such as ``early,EBA``, in the order of tables.

    Raises InputError naming what is unknown.
    """
    parts = [part.strip() for part in text.split(",")]
    unknown = [part for part in parts if part not in GROUPS and part not in ROI_ORDER]
    if unknown:
        raise InputError(
            f"rois: unknown {', '.join(map(repr, unknown))}; expected early, higher, streams, "
            f"or of {', '.join(ROI_ORDER)}"
        )
    # "early" is a group and a stream's name too: as a word on the command line it is the group.
    chosen = {roi for part in parts for roi in GROUPS.get(part, (part,))}
    return tuple(roi for roi in ROI_ORDER if roi in chosen)


def select(cells: Sequence[Cell], selection: Selection) -> list[Cell]:
    """Keep the chosen cells; raise InputError, with what there is, when none is left."""
    subjects = {cell.subject: subject_number(cell.subject) for cell in cells}
    absent = sorted(set(selection.subjects or ()) - set(subjects.values()))
    if absent:
        raise InputError(
            f"subjects: {', '.join(map(str, absent))} not in the data, "
            f"which has {', '.join(sorted(subjects))}"
        )
    chosen = [
        cell
        for cell in cells
        if (selection.subjects is None or subjects[cell.subject] in selection.subjects)
        and cell.hemisphere in selection.hemispheres
        and (selection.rois is None or cell.roi in selection.rois)
    ]
    if not chosen:
        raise InputError("no cell of the data is in the chosen subjects, hemispheres and ROIs")
    return chosen


def expand(space: Space, cells: Sequence[Cell], weights: str | None) -> list[Trial]:
    """List a space's trials, each once; weights, where given, replace each trunk's.

    Untuned trials of one subject are one trial, for all their cells. Raises InputError when the
    space fails, yields no trial or what is none, or needs a weights file that is not given.
    """
    try:
        trials = list(space(cells))
    except Exception as error:
        file = getattr(getattr(space, "__code__", None), "co_filename", None)
        raise InputError(
            f"the search space's trials(cells) failed: {_told(error, file)}"
        ) from error
    merged: dict[str, Trial] = {}
    for trial in trials:
        if not isinstance(trial, Trial):
            raise InputError(f"the search space yielded {trial!r:.80}; expected Trial values")
        chosen = _with_weights(trial, weights)
        merged[chosen.id] = _merge(merged.get(chosen.id), chosen)
    if not merged:
        nothing = "the search space yielded no trial for the chosen cells"
        raise InputError(nothing, *space_notes(space, cells))
    return list(merged.values())


def space_notes(space: Space, cells: Sequence[Cell]) -> tuple[str, ...]:
    """Ask a space's module for ``notes(cells)``, lines about its trials; none when it has none.

    Raises InputError when the function fails.
    """
    notes = getattr(sys.modules.get(space.__module__), "notes", None)
    if not callable(notes):
        return ()
    try:
        return tuple(map(str, notes(cells)))
    except Exception as error:
        told = _told(error, notes.__code__.co_filename)
        raise InputError(f"the search space's notes(cells) failed: {told}") from error


def _with_weights(trial: Trial, weights: str | None) -> Trial:
    return replace(trial, trunk=start_from(trial.trunk, weights))


def start_from(trunk: Trunk, weights: str | None) -> Trunk:
    """Give a trunk the weights named, if any; raise InputError where it needs a file's."""
    if weights is None and trunk.weights == FROM_FILE:
        raise InputError(
            f"the search space starts {trunk.architecture} from a file; give --weights FILE"
        )
    return replace(trunk, weights=weights or trunk.weights)


def _merge(known: Trial | None, trial: Trial) -> Trial:
    if known is None:
        return trial
    return known.scoring(dict.fromkeys((*known.cells, *trial.cells)))


def make_plan(
    trials: Sequence[Work], runs: Path, costs: Costs, only: Collection[str] | None = None
) -> Plan:
    """Take away what is done, and order the rest: subject by subject, the longest first.

    Trials of several subjects go first: they are the longest, and short ones fill the end. only:
    ids of those to run, of those that wait; None: all.
    """
    waiting: list[Work] = []
    damaged: list[str] = []
    for trial in trials:
        outcome = Outcome.read(runs, trial.id)
        left = [cell for cell in trial.cells if not _is_scored(runs, trial, cell, damaged)]
        stopped = outcome is not None and outcome.status == "stopped"
        tuned = outcome is not None and outcome.status == "finished" and trial.encoding is None
        chosen = only is None or trial.id in only
        if left and chosen and not stopped and not tuned:
            waiting.append(_to_score(trial, left, outcome))
    rank = {t.id: (-len(t.shards), t.shards, -costs.estimate(t).seconds, t.id) for t in waiting}
    ordered = tuple(sorted(waiting, key=lambda trial: rank[trial.id]))
    return Plan(tuple(trials), ordered, tuple(damaged))


def _is_scored(runs: Path, trial: Work, cell: Cell, damaged: list[str]) -> bool:
    """Tell whether a cell has scores that can be read; note it where they can't."""
    path = score_file(runs, trial.id, cell)
    if not path.exists():
        return False
    try:
        read_score_file(path)
    except ValueError:
        damaged.append(f"{path}: damaged; it is scored again")
        return False
    return True


def _to_score(work: Work, left: Sequence[Cell], outcome: Outcome | None) -> Work:
    """Return what is left to do of a trial or evaluation; a tuned trial is its cells.

    Cells that were added to one that had ended are scored by themselves. One that was interrupted,
    or has lost scores, is scored whole: products of matrices round by their size, so the scores of
    some cells alone are an undisturbed run's only to the seventh digit.
    """
    is_tuned = isinstance(work, Trial) and not isinstance(work.objective, Untuned)
    ended = outcome.trial.cells if outcome and outcome.status == "finished" else ()
    is_added = ended and not set(left) & set(ended)
    return work.scoring(left) if is_added and not is_tuned else work


def fingerprint(data: Path) -> str:
    """Hash every subject's manifest: the data set as it was ingested."""
    manifests = sorted(data.glob("*/manifest.json"))
    return hashlib.sha256("".join(map(hash_file, manifests)).encode()).hexdigest()[:16]
