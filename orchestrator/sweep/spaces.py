"""Load search spaces by name or file, and expand them to trials."""

import ast
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Final

import search_spaces
from orchestrator.cli.errors import InputError
from orchestrator.cli.trust import remember
from orchestrator.sweep.confinement import LOADING, confined, first_items
from trainables.models.backbone_facts import with_pixels
from trainables.models.own_networks import with_source
from trainables.spec import FROM_FILE, Backbone, Roi, Trial
from trainables.spec.evaluation import with_rois_of
from trainables.spec.search import Search
from trainables.storage.atomic import hash_file
from trainables.wording import meant

ACTIONS: Final = ("status", "retry", "cancel")
"""Subcommands, which can't be names of search spaces."""
MAX_SOURCE: Final = 2**20
"""The largest file of a search space, in bytes."""
Space = Callable[[Sequence[Roi]], Iterable[Trial]]


def space_names() -> list[str]:
    """List the names of the search spaces that come with the program."""
    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load_space(name: str) -> Space:
    """Load a search space by name, or from a user's Python file.

    Raises InputError if there is no such space, or if it has no function ``trials(rois)``.
    """
    module = _load_file(Path(name)) if name.endswith(".py") else _load_named(name)
    trials = vars(module).get("trials")
    if not callable(trials):
        raise InputError(
            f"{name}: a search space needs a function trials(rois) that yields Trial values; "
            "search_spaces/paper.py is an example"
        )
    return trials  # type: ignore[no-any-return]


def asks_for_whole(space: Space) -> bool:
    """Return whether a search space is given the ROIs of whole hemispheres without ``--rois``.

    Its module then defines ``WHOLE_HEMISPHERES = True``. Raises InputError for another value.
    """
    asked = getattr(sys.modules.get(space.__module__), "WHOLE_HEMISPHERES", False)
    if not isinstance(asked, bool):
        raise InputError(
            f"{_file_of(space)}: WHOLE_HEMISPHERES is {_described(asked)}; expected True or False"
        )
    return asked


def load_search(name: str) -> Search | None:
    """Load the search that a search space declares as ``SEARCH``; None if it lists trials.

    Raises InputError if there is no such space, or if SEARCH is not a Search.
    """
    module = _load_file(Path(name)) if name.endswith(".py") else _load_named(name)
    search = vars(module).get("SEARCH")
    if search is not None and not isinstance(search, Search):
        raise InputError(
            f"{name}: SEARCH is {_described(search)}; expected a trainables.spec.Search"
        )
    return search


def _load_named(name: str) -> ModuleType:
    if name not in space_names():
        raise InputError(
            f"no search space {name!r}; expected one of {', '.join(space_names())}, the path of a "
            f".py file with trials(rois), or a command: {', '.join(ACTIONS)}{_meant(name)}"
        )
    return importlib.import_module(f"search_spaces.{name}")


def _meant(name: str) -> str:
    """Name the space, file or command that was probably meant."""
    if Path(f"{name}.py").is_file():
        return f"; did you mean {name + '.py'!r}?"
    plain = name.removesuffix(".py").rpartition("/")[2].lower().replace("-", "_")
    return meant(plain, (*space_names(), *ACTIONS))


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(
            f"{path}: no such search space; give the path of a .py file{_meant(str(path))}"
        )
    return _load_version(path, hash_file(path))


@lru_cache(maxsize=1)
def _load_version(path: Path, content: str) -> ModuleType:
    """Load a file, once for a command that asks for its search and for its trials.

    content: hash of the file.
    """
    spec = importlib.util.spec_from_file_location("user_search_space", path)
    assert spec is not None
    assert spec.loader is not None
    loader = spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up there

    def load() -> None:
        _check_source(path)
        loader.exec_module(module)

    with _same_backbones(spec.origin):
        confined(load, spec.origin, "could not be loaded", LOADING)
    return module


def _check_source(path: Path) -> None:
    """Raise InputError if a file is too large, or defines ``trials`` twice, or also SEARCH."""
    if (size := path.stat().st_size) > MAX_SOURCE:
        raise InputError(f"{path}: expected at most {MAX_SOURCE:,} bytes of Python, found {size:,}")
    tree = ast.parse(path.read_bytes(), str(path)).body
    lines = [one.lineno for one in tree if getattr(one, "name", None) == "trials"]
    if len(lines) > 1:
        raise InputError(
            f"{path}: defines trials {len(lines)} times (lines {', '.join(map(str, lines))}); "
            "expected one definition"
        )
    names = {
        getattr(t, "id", "") for one in tree if isinstance(one, ast.Assign) for t in one.targets
    }
    if lines and "SEARCH" in names:
        raise InputError(f"{path}: defines trials and SEARCH; expected one of the two")


@contextmanager
def _same_backbones(file: str | None) -> Iterator[None]:
    """Raise InputError if the block registers a backbone, which no worker would know."""
    before = _loaded_builders()
    yield
    changed = sorted(
        name
        for name, (builder, is_known) in _loaded_builders().items()
        if builder is not before.get(name, (None,))[0] and not is_known
    )
    if changed:
        raise InputError(
            f"{file}: registers the backbone {changed[0]!r}, which workers do not know; "
            "a search space uses the backbones of torchvision and of this program"
        )


def _loaded_builders() -> dict[str, tuple[object, bool]]:
    """Return each registered builder of a backbone, and whether torchvision or this program has it.

    Without torchvision in memory nothing is registered, and it is not imported for that.
    """
    if "torchvision.models" not in sys.modules:
        return {}
    from trainables.models.backbones import is_own_or_published, registered_builders

    found = registered_builders()
    return {name: (found[name], is_own_or_published(name, found[name])) for name in found}


def expand(space: Space, rois: Sequence[Roi], weights: str | None) -> list[Trial]:
    """List a space's trials without duplicates; weights, if given, replace each backbone's.

    Trials of one subject that depend on its images alone, as untuned ones, are merged into one for
    all their ROIs. Raises InputError if
    the space fails, does not end, yields no trials or other values, or needs a weights file that is
    not given.
    """
    file = _file_of(space)
    with _same_backbones(file):
        trials = confined(
            lambda: _yielded(space, rois, file), file, "trials(rois) of the search space failed"
        )
    merged: dict[str, Trial] = {}
    for trial in trials:
        if type(trial) is not Trial:
            raise InputError(
                f"{file}: the search space yielded {_described(trial)}; expected Trial values"
            )
        chosen = _with_weights(trial, weights)
        merged[chosen.id] = with_rois_of(merged.get(chosen.id, chosen), chosen)
    if not merged:
        nothing = "the search space yielded no trial for the chosen ROIs"
        raise InputError(nothing, *space_notes(space, rois))
    return list(merged.values())


def _yielded(space: Space, rois: Sequence[Roi], file: str | None) -> list[Trial]:
    """List what a space yields."""
    yielded = space(list(rois))
    if not isinstance(yielded, Iterable) or isinstance(yielded, str | bytes | Mapping):
        expected = "yield Trial values, or return a list of them"
        raise InputError(
            f"{file}: trials(rois) returned {yielded!r:.80}; expected it to {expected}"
        )
    return first_items(yielded, file, "trials(rois)")


def space_file(space: Space) -> Path | None:
    """Return the file that defines a search space; None if it is not of Python."""
    file = _file_of(space)
    return None if file is None else Path(file)


def _file_of(function: Callable[..., object]) -> str | None:
    """Return the file that defines a function or class; None if it is not of Python."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    code = getattr(function, "__code__", None)
    return getattr(code, "co_filename", getattr(module, "__file__", None))


def _described(value: object) -> str:
    try:
        return " ".join(f"{value!r:.80}".split())
    except Exception:  # a class of the space's own
        return f"a {type(value).__name__}"


def space_notes(space: Space, rois: Sequence[Roi]) -> tuple[str, ...]:
    """Call ``notes(rois)`` of a space's module, which returns lines about its trials, if defined.

    Raises InputError if the function fails or does not end.
    """
    notes = getattr(sys.modules.get(space.__module__), "notes", None)
    if not callable(notes):
        return ()
    file = _file_of(notes)

    def listed() -> tuple[str, ...]:
        lines = first_items(notes(list(rois)), file, "notes(rois)")
        return tuple(" ".join(str(line).split()) for line in lines)

    return confined(listed, file, "notes(rois) of the search space failed")


def _with_weights(trial: Trial, weights: str | None) -> Trial:
    return replace(trial, backbone=start_from(trial.backbone, weights))


def start_from(backbone: Backbone, weights: str | None) -> Backbone:
    """Replace a backbone's weights, if given; fill in its pixels' scale and its file's text.

    Raises InputError if it needs a weights file, ValueError if there is no such network or file.
    """
    if weights is None and backbone.weights == FROM_FILE:
        raise InputError(
            f"the search space starts {backbone.architecture} from a file; give --weights FILE"
        )
    named = with_source(replace(backbone, weights=weights or backbone.weights))
    if backbone.source is None and named.source is not None:
        remember(named.source)
    return with_pixels(named)


def with_seeds(trials: Iterable[Trial], seeds: int) -> list[Trial]:
    """Repeat each fine-tuning with further seeds, without duplicates; the first seeds come first.

    A sweep that is stopped has then as many complete seeds as possible.
    """
    several = [trial.repeated(seeds) for trial in trials]
    in_order = [one[number] for number in range(seeds) for one in several if number < len(one)]
    return list({trial.id: trial for trial in in_order}.values())
