"""Choose the models to export: those of named trials, or the best of each ROI."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from orchestrator.cli.errors import InputError
from orchestrator.cli.selection import Selection, resolve_rois, subject_number
from orchestrator.encoding_models.config import ChosenBy
from orchestrator.export.ranking import BY_TEST, compared
from orchestrator.scores.filters import of_latest_data, started_in
from orchestrator.scores.score_table import ScoreTable, read_score_table
from trainables.encoding.split_sizes import REFITTED
from trainables.results.run_directory import RunDirectory
from trainables.results.score_files import read_score_columns
from trainables.spec import Protocol, Roi, Trial
from trainables.spec.evaluation import Evaluation, WorkItem
from trainables.spec.setting import is_named
from trainables.wording import some

COLUMNS: Final = ("protocol", "vertex", "layer", "alpha", "r", "n_test", "n_overlap")


@dataclass(frozen=True)
class Asked:
    """Which models to export."""

    trials: tuple[str, ...] = ()
    """Ids, their beginnings, or the 8 hex digits of settings; empty: the best of each ROI."""
    protocol: Protocol | None = None
    """None: the first of REFITTED that has scores."""
    selection: Selection = field(default_factory=Selection)


@dataclass(frozen=True)
class Chosen:
    """A trial's scores on an ROI: what its final readout is fitted with."""

    work_item: WorkItem
    roi: Roi
    protocol: Protocol
    layer: str
    vertex: "np.ndarray[Any, np.dtype[np.int32]]"
    """(n_vertices,) columns of the hemisphere's responses."""
    alpha: "np.ndarray[Any, np.dtype[np.float64]]"
    """(n_vertices,); NaN where r is."""
    r: "np.ndarray[Any, np.dtype[np.float64]]"
    n_test: int
    n_overlap: int
    n_candidates: int
    chosen_by: ChosenBy


def choose(runs: RunDirectory, asked: Asked) -> list[Chosen]:
    """Choose models, those of a trial after each other; raise InputError if there are none.

    The best model of an ROI is the one of the highest score of validation where all of its models
    have a fair one, else of the highest mean r on the test images (`ranking`); controls, and scores
    without overlapping images, are not compared.
    """
    every = read_score_table(runs)
    protocol = asked.protocol or _first_protocol(every, runs)
    every, _ = of_latest_data(every, started_in(runs))
    table = every.keep("protocol", [protocol])
    means = _means(table, protocol, asked.selection)
    chosen = _named(means, table, asked.trials) if asked.trials else _best(means, every)
    columns = ["trial_id", "roi_id", "n", "chosen_by"]
    return [
        replace(
            _read(runs, table.trials[trial_id], roi_id, protocol),
            n_candidates=int(n),
            chosen_by=chosen_by,
        )
        for trial_id, roi_id, n, chosen_by in chosen[columns].itertuples(index=False)
    ]


def _first_protocol(table: ScoreTable, runs: RunDirectory) -> Protocol:
    present = table.present("protocol")
    found = next((protocol for protocol in REFITTED if protocol in present), None)
    if found is None:
        raise InputError(
            f"{runs}: its scores are of {', '.join(present)}; expected {' or '.join(REFITTED)}, "
            "which fit one model that can be exported; sweep with one of these protocols"
        )
    return found


def _means(table: ScoreTable, protocol: str, selection: Selection) -> pd.DataFrame:
    """Average r over the vertices of each trial and ROI of a selection."""
    keys = ["trial_id", "roi_id", "subject", "hemisphere", "roi"]
    means = table.segments[keys].astype(str)
    places = table.segments[["file", "first", "n"]].to_numpy().tolist()
    rows = [table.files[file].r[first : first + n] for file, first, n in places]
    means["r"] = [np.nanmean(r) if not np.isnan(r).all() else np.nan for r in rows]
    numbers = means["subject"].map(subject_number)
    kept = pd.Series(True, index=means.index)
    if selection.hemispheres is not None:
        kept &= means["hemisphere"].isin(selection.hemispheres)
    if selection.subjects is not None:
        kept &= numbers.isin(selection.subjects)
    if selection.rois is not None:
        kept &= means["roi"].isin(resolve_rois(selection.rois, means["roi"]))
    if not kept.any():
        raise InputError(
            f"no {protocol} scores of the chosen subjects, hemispheres and ROIs; there are "
            f"{some(sorted(set(means['roi_id'])))}"
        )
    return means[kept]


def _named(means: pd.DataFrame, table: ScoreTable, names: Sequence[str]) -> pd.DataFrame:
    ids = list(dict.fromkeys(means["trial_id"]))
    fits: dict[str, None] = {}
    for name in names:
        found = [key for key in ids if is_named(table.trials[key], name)]
        if not found:
            raise InputError(f"--trials {name}: no such trial; there are {some(ids)}")
        fits |= dict.fromkeys(found)
    excluding = [key for key in fits if _excludes(table.trials[key])]
    if excluding:
        raise InputError(
            f"--trials: {some(excluding)} measure r without the images that the backbone was "
            "trained on; name the evaluation on all images, or the model's own trial"
        )
    return means[means["trial_id"].isin(list(fits))].assign(n=1, chosen_by=BY_TEST)


def _best(means: pd.DataFrame, table: ScoreTable) -> pd.DataFrame:
    """Keep the best model of each ROI, with the number of models that it was chosen from."""
    candidates = [key for key in dict.fromkeys(means["trial_id"]) if _competes(table.trials[key])]
    rows = means[means["trial_id"].isin(candidates)].dropna(subset=["r"])
    if rows.empty:
        raise InputError("no scores to choose the best models by; name some with --trials")
    rows = compared(rows, table).sort_values(["score", "trial_id"], ascending=[False, True])
    best = rows.drop_duplicates("roi_id")
    return best.sort_values(["trial_id", "roi_id"])


def _competes(work_item: WorkItem) -> bool:
    is_control = isinstance(work_item, Trial) and (
        work_item.permuted or work_item.tuned_on is not None
    )
    return not (is_control or _excludes(work_item))


def _excludes(work_item: WorkItem) -> bool:
    return isinstance(work_item, Evaluation) and work_item.exclude_training_images


def _read(runs: RunDirectory, work_item: WorkItem, roi_id: str, protocol: Protocol) -> Chosen:
    path = runs.score_file(work_item.id, roi_id)
    found = read_score_columns(path, COLUMNS)
    if found is None:
        raise ValueError(f"{path}: has changed while it was read; run the command again")
    rows = found[1].filter(pc.equal(found[1]["protocol"].cast("string"), protocol))
    alpha, r = (
        rows[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in ("alpha", "r")
    )
    return Chosen(
        work_item=work_item,
        roi=next(roi for roi in work_item.rois if roi.id == roi_id),
        protocol=protocol,
        layer=str(rows["layer"][0].as_py()),
        vertex=rows["vertex"].to_numpy(),
        alpha=alpha,
        r=r,
        n_test=rows["n_test"][0].as_py(),
        n_overlap=rows["n_overlap"][0].as_py(),
        n_candidates=1,
        chosen_by=BY_TEST,
    )


def by_work(chosen: Iterable[Chosen]) -> list[tuple[Chosen, ...]]:
    """Group what is chosen by trial and subject: one backbone passes over its images once."""
    groups: dict[tuple[str, str], list[Chosen]] = {}
    for one in chosen:
        groups.setdefault((one.work_item.id, one.roi.shard), []).append(one)
    return [tuple(group) for group in groups.values()]
