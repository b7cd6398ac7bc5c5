"""Load search spaces by name or file, and expand them to trials."""

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Final

import search_spaces
from orchestrator.cli.errors import InputError
from trainables.spec import FROM_FILE, Backbone, Roi, Trial
from trainables.spec.search import Search

ACTIONS: Final = ("status", "retry", "cancel")
"""Subcommands, which can't be names of search spaces."""
Space = Callable[[Sequence[Roi]], Iterable[Trial]]


def space_names() -> list[str]:
    """List the names of the search spaces that come with the program."""
    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load_space(name: str) -> Space:
    """Load a search space by name, or from a user's Python file.

    Raises InputError if there is no such space, or if it has no function ``trials(rois)``.
    """
    module = _load_file(Path(name)) if name.endswith(".py") else _load_named(name)
    trials = getattr(module, "trials", None)
    if not callable(trials):
        raise InputError(
            f"{name}: a search space needs a function trials(rois) that yields Trial values; "
            "search_spaces/paper.py is an example"
        )
    return trials  # type: ignore[no-any-return]


def load_search(name: str) -> Search | None:
    """Load the search that a search space declares as ``SEARCH``; None if it lists trials.

    Raises InputError if there is no such space, or if SEARCH is not a Search.
    """
    module = _load_file(Path(name)) if name.endswith(".py") else _load_named(name)
    search = getattr(module, "SEARCH", None)
    if search is not None and not isinstance(search, Search):
        raise InputError(f"{name}: SEARCH is {search!r:.80}; expected a trainables.spec.Search")
    return search


def _load_named(name: str) -> ModuleType:
    if name not in space_names():
        similar = get_close_matches(name, (*space_names(), *ACTIONS), n=1)
        raise InputError(
            f"no search space {name!r}; expected one of {', '.join(space_names())}, "
            "or the path of a .py file with trials(rois)"
            + (f"; did you mean {similar[0]!r}?" if similar else "")
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
        raise InputError(
            f"{path}: could not be loaded: {_describe_error(error, spec.origin)}"
        ) from error
    return module


def _describe_error(error: Exception, file: str | None) -> str:
    """Describe an error with its line in a user's file; a syntax error includes its line."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == file]
    where = f" (line {lines[-1]})" if lines else ""
    return f"{type(error).__name__}: {error}{where}"


def expand(space: Space, rois: Sequence[Roi], weights: str | None) -> list[Trial]:
    """List a space's trials without duplicates; weights, if given, replace each backbone's.

    Untuned trials of one subject are merged into one trial for all their ROIs. Raises InputError if
    the space fails, yields no trials or other values, or needs a weights file that is not given.
    """
    try:
        trials = list(space(rois))
    except Exception as error:
        file = getattr(getattr(space, "__code__", None), "co_filename", None)
        raise InputError(
            f"{file}: trials(rois) of the search space failed: {_describe_error(error, file)}"
        ) from error
    merged: dict[str, Trial] = {}
    for trial in trials:
        if not isinstance(trial, Trial):
            raise InputError(f"the search space yielded {trial!r:.80}; expected Trial values")
        chosen = _with_weights(trial, weights)
        merged[chosen.id] = _merge(merged.get(chosen.id), chosen)
    if not merged:
        nothing = "the search space yielded no trial for the chosen ROIs"
        raise InputError(nothing, *space_notes(space, rois))
    return list(merged.values())


def space_notes(space: Space, rois: Sequence[Roi]) -> tuple[str, ...]:
    """Call ``notes(rois)`` of a space's module, which returns lines about its trials, if defined.

    Raises InputError if the function fails.
    """
    notes = getattr(sys.modules.get(space.__module__), "notes", None)
    if not callable(notes):
        return ()
    try:
        return tuple(map(str, notes(rois)))
    except Exception as error:
        file = notes.__code__.co_filename
        message = _describe_error(error, file)
        raise InputError(f"{file}: notes(rois) of the search space failed: {message}") from error


def _with_weights(trial: Trial, weights: str | None) -> Trial:
    return replace(trial, backbone=start_from(trial.backbone, weights))


def start_from(backbone: Backbone, weights: str | None) -> Backbone:
    """Replace a backbone's weights, if given; raise InputError if it needs a weights file."""
    if weights is None and backbone.weights == FROM_FILE:
        raise InputError(
            f"the search space starts {backbone.architecture} from a file; give --weights FILE"
        )
    return replace(backbone, weights=weights or backbone.weights)


def _merge(known: Trial | None, trial: Trial) -> Trial:
    if known is None:
        return trial
    return known.scoring(dict.fromkeys((*known.rois, *trial.rois)))
