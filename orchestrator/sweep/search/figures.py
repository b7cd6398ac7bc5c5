"""Figures of a search: which settings matter, and which values the good ones share.

PNG and SVG, without a display, in viridis, which is readable in grey and by colour-blind readers.
"""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainables.spec.search import Values
from trainables.storage.atomic import atomic_write

FORMATS: Final = ("png", "svg")
WIDTH: Final = 7.0
"""Width in inches: the text width of a page."""


def importance(study: optuna.Study) -> dict[str, float]:
    """Return each hyperparameter's share of importance by PED-ANOVA, largest first.

    Importance is how much a setting determines whether a configuration is in the best tenth. Empty
    for too few configurations, or if they are all the same.
    """
    spans = study.get_trials(deepcopy=False)[0].distributions if study.trials else {}
    varied = [name for name, span in spans.items() if not span.single()]
    if len(study.trials) < 2 or not varied:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # experimental; and runtime warnings for few trials
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=varied)
    return dict(found) if all(np.isfinite(list(found.values()))) else {}


def draw_importance(found: Mapping[str, float], stem: Path, title: str = "") -> list[Path]:
    """Draw importances as bars, largest on top, under a title; return the files written."""
    figure = Figure(figsize=(WIDTH, 0.5 + 0.4 * len(found)), layout="constrained")
    axes = figure.subplots()
    names = list(found)[::-1]
    bars = axes.barh([_label(name) for name in names], [found[name] for name in names])
    axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_xlabel("importance (PED-ANOVA, shares)")
    axes.set_xlim(0, 1.1 * max(found.values(), default=1.0) or 1.0)
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, stem, title)


def draw_parallel(
    configurations: Sequence[Values], shares: Sequence[float], stem: Path, title: str = ""
) -> list[Path]:
    """Draw parallel coordinates: one line per configuration, one axis per hyperparameter.

    shares: mean rank share of each configuration, shown by colour and width, with the best on top.
    Returns the files written.
    """
    names = list(configurations[0])
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots()
    places = np.column_stack([_place([one[name] for one in configurations]) for name in names])
    colours = mpl.colormaps["viridis_r"]
    scale = mpl.colors.Normalize(0, 1)
    for number in np.argsort(shares, kind="stable"):
        share = shares[int(number)]
        axes.plot(places[number], color=colours(scale(share)), lw=0.6 + 1.8 * share, marker=".")
    for x, name in enumerate(names):
        _mark_axis(axes, x, [one[name] for one in configurations])
    labels = [_label(name).replace(" ", "\n") for name in names]
    axes.set_xticks(range(len(names)), labels)
    axes.tick_params(length=0, pad=8)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(names) - 0.3)
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(mpl.cm.ScalarMappable(scale, colours), ax=axes, pad=0.02)
    bar.set_label("mean rank share (1 is best)")
    return _save(figure, stem, title)


def _place(values: Sequence[float]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Map positive numbers to [0, 1] by their logarithm, or to the middle if all are equal."""
    logs = np.log(np.asarray(values, dtype=np.float64))
    width = np.ptp(logs)
    return (logs - logs.min()) / width if width > 0 else np.full(len(logs), 0.5)


def _mark_axis(axes: Axes, x: float, values: Sequence[float]) -> None:
    axes.axvline(x, color="0.6", lw=0.8, zorder=0)
    low, high = min(values), max(values)
    if low == high:
        axes.annotate(f"{low:.3g}", (x, 0.5), (4, 0), textcoords="offset points", fontsize=8)
        return
    axes.annotate(
        f"{high:.3g}", (x, 1), (0, 5), textcoords="offset points", ha="center", fontsize=8
    )
    axes.annotate(
        f"{low:.3g}", (x, 0), (0, -11), textcoords="offset points", ha="center", fontsize=8
    )


def _label(name: str) -> str:
    return name.replace("_", " ")


def _save(figure: Figure, stem: Path, title: str) -> list[Path]:
    """Save a figure atomically in every format, under a title, if there is one."""
    written = []
    if title:
        figure.suptitle(title)
    for kind in FORMATS:
        path = stem.with_suffix(f".{kind}")
        with atomic_write(path) as beside, mpl.rc_context({"svg.hashsalt": stem.name}):
            figure.savefig(beside, format=kind, dpi=200)
        written.append(path)
    return written
