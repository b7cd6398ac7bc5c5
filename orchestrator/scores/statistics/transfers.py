"""How well a backbone fine-tuned on one subject predicts another: one number per pair.

As in every table, a number is computed within each ROI, then averaged over the target's ROIs.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from orchestrator.cli.selection import subject_number
from orchestrator.scores.filters import evaluations_of
from orchestrator.scores.references import join_untuned, references
from orchestrator.scores.rows import Row, method_order, rois_of, rows_by
from orchestrator.scores.score_table import ScoreTable
from orchestrator.scores.statistics.hierarchical_interval import Uncertainty
from orchestrator.scores.statistics.model_differences import (
    NOT_MEASURED,
    Model,
    ModelDifferences,
    measure_models,
)
from orchestrator.scores.statistics.pair_interval import (
    PairDifference,
    pairs_uncertainty,
)
from orchestrator.scores.statistics.roi_differences import RoiDifference, average
from trainables.data.data_directory import DataDirectory
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial
from trainables.spec.evaluation import Evaluation, WorkItem, training_of
from trainables.spec.setting import setting_of


@dataclass(frozen=True)
class Entry:
    """A model's scores on one subject's ROIs of a row.

    All numbers are of the same ROIs and vertices: those with untuned scores, where any has.
    """

    mean: float | None
    """Mean r; None where no vertex has an r."""
    untuned: float | None
    """Mean r of the untuned backbone; None without untuned scores."""
    own: float | None
    """Mean r of the target's own model; None where it does not score each of these ROIs."""
    better: float | None
    """Share of vertices with a higher r than untuned; None without untuned scores."""
    n_rois: int
    n_unpaired: int
    """ROIs that are left out for lack of untuned scores."""
    is_own: bool
    """Whether these are the model's own ROIs, as its trial scored them."""
    difference: PairDifference | None = None
    """Of the gain, what seeds and images add to it; None where predictions are missing."""

    @cached_property
    def uncertainty(self) -> Uncertainty | None:
        """The uncertainty of the gain of this model on this subject."""
        return None if self.difference is None else pairs_uncertainty([self.difference])

    @property
    def gain(self) -> float | None:
        """Mean r minus the untuned backbone's."""
        if self.mean is None or self.untuned is None:
            return None
        return self.mean - self.untuned


@dataclass(frozen=True)
class Transfers:
    """One method's models on the ROIs of a row, by the subjects of fine-tuning and scoring."""

    method: str
    """Method of the evaluations, such as ``transfer-contrastive``."""
    row: Row
    models: tuple[str, ...]
    targets: tuple[str, ...]
    entries: Mapping[tuple[str, str], Entry]
    """By (model, target); none where they share no ROI."""


def transfers(table: ScoreTable, measured: ModelDifferences = NOT_MEASURED) -> list[Transfers]:
    """Tabulate every evaluated method on every ROI group.

    table: one protocol. Models that differ only in their seed are averaged. measured: as of
    :func:`measure_transfers`, for the intervals of gains.
    """
    evaluated = table.keep("trial_id", evaluations_of(table))
    if evaluated.segments.empty:
        return []
    numbers = _roi_numbers(table)
    methods = method_order(evaluated.present("method"))
    return [one for method in methods for one in _of_method(table, numbers, method, measured)]


def measure_transfers(
    table: ScoreTable, runs: RunDirectory, data: DataDirectory
) -> ModelDifferences:
    """Measure the gains of evaluated models, and of their own trials, from their predictions."""
    works = evaluations_of(table)
    wanted = {*works, *_same_setting(table, list(works.values()))}
    scored = table.segments[["trial_id", "method"]].drop_duplicates().astype(str)
    untuned = references(table)
    pairs = [
        ((label, table.trials[key].trained_on), (untuned[label][0], None))
        for key, label in scored.itertuples(index=False, name=None)
        if key in wanted and untuned.get(label)
    ]
    return measure_models(table, pairs, runs, data)


def _of_method(
    table: ScoreTable, numbers: pd.DataFrame, method: str, measured: ModelDifferences
) -> Iterator[Transfers]:
    of_method = numbers[numbers["method"] == method]
    works = evaluations_of(table)
    evaluated = [works[key] for key in of_method["trial_id"].unique()]
    if not evaluated:
        return
    # Beside the evaluations stand the models' own trials, in the same regions: the diagonal.
    own = numbers[numbers["trial_id"].isin(_same_setting(table, evaluated))]
    own = own[own["region"].isin(set(of_method["region"]))]
    both = pd.concat([of_method.assign(is_own=False), own.assign(is_own=True)])
    both["own"] = both["roi_id"].map(own.groupby("roi_id")["mean"].mean())
    untuned = {label: others[0] for label, others in references(table).items() if others}
    find = _Finder(table, untuned, measured)
    wanted = table.keep("roi_id", set(both["roi_id"])).segments
    for row in rows_by(rois_of(wanted), "group"):
        in_row = both[both["roi_id"].isin(row.rois)]
        yield Transfers(
            method=method,
            row=row,
            models=tuple(dict.fromkeys(sorted(in_row["model"], key=_order))),
            targets=tuple(dict.fromkeys(sorted(in_row["target"], key=_order))),
            entries={
                (str(model), str(target)): _entry(part, find)
                for (model, target), part in in_row.groupby(["model", "target"])
            },
        )


def _same_setting(table: ScoreTable, evaluated: list[Evaluation]) -> set[str]:
    """Name the trials with an evaluated model's setting and seed, of any subject."""
    wanted = {(setting_of(one), one.model.seed) for one in evaluated}
    return {
        key
        for key, one in table.trials.items()
        if isinstance(one, Trial) and (setting_of(one), one.seed) in wanted
    }


@dataclass(frozen=True)
class _Finder:
    """Finds what is known of the gains of models."""

    table: ScoreTable
    untuned: Mapping[str, str]
    measured: ModelDifferences

    def of_pair(self, models: pd.DataFrame, rois: Sequence[str]) -> PairDifference | None:
        """Return the difference of a pair over some ROIs; None where one is not known."""
        if not self.measured.is_known:
            return None
        sources: dict[str, set[Model]] = {}
        for key, label, roi in models[["trial_id", "method", "roi_id"]].itertuples(index=False):
            sources.setdefault(roi, set()).add((label, self.table.trials[key].trained_on))
        known = [self._of_roi(roi, sources[roi]) for roi in rois]
        found = tuple(one for one in known if one is not None)
        if not found or len(found) < len(known):
            return None
        works = [training_of(self.table.trials[key]) for key in models["trial_id"].unique()]
        trained = {(roi.dataset, roi.subject) for one in works for roi in one.rois}
        return PairDifference(frozenset(trained), found)

    def _of_roi(self, roi: str, models: Collection[Model]) -> RoiDifference | None:
        """Average over models of a subject that were tuned on other ROIs, if there are several."""
        several = [
            self.measured.of(one, (self.untuned[one[0]], None), roi)
            for one in sorted(models, key=str)
            if one[0] in self.untuned
        ]
        known = [one for one in several if one is not None]
        return average(known) if known and len(known) == len(models) else None


def _entry(models: pd.DataFrame, find: _Finder) -> Entry:
    """Average the numbers of a model's ROIs; those of several seeds first."""
    numbers = ["mean", "untuned", "own", "better", "is_own"]
    rois = models.groupby("roi_id", sort=False)[numbers].mean()
    paired = rois[rois["untuned"].notna()]
    used = rois if paired.empty else paired
    return Entry(
        mean=_mean(used["mean"].dropna()),
        untuned=_mean(used["untuned"].dropna()),
        own=_mean(used["own"]),
        better=_mean(used["better"].dropna()),
        n_rois=len(used),
        n_unpaired=len(rois) - len(used),
        is_own=bool((rois["is_own"] == 1).all()),
        difference=find.of_pair(models, list(map(str, used.index))),
    )


def _mean(values: "pd.Series[float]") -> float | None:
    """Average values; None where there is none, or where one is missing."""
    return None if values.empty or values.isna().any() else float(values.mean())


def _roi_numbers(table: ScoreTable) -> pd.DataFrame:
    """Compute each trial's numbers on each ROI: mean r, untuned's, and the share that is better.

    All three are over the vertices at which both have an r; where untuned has none, mean r is over
    all vertices, and the other two are missing.
    """
    vertices = table.vertices
    paired = join_untuned(vertices, table)
    both = paired["r"].notna() & paired["r_untuned"].notna()
    paired["better"] = (paired["r"] > paired["r_untuned"]).astype(float).where(both)
    paired["mean"] = paired["r"].where(both)
    paired["untuned"] = paired["r_untuned"].where(both)
    by = ["trial_id", "method", "roi_id", "dataset", "subject", "hemisphere", "roi"]
    measured = ["r", "mean", "untuned", "better"]
    numbers = paired.groupby(by, observed=True)[measured].mean().reset_index()
    numbers[by] = numbers[by].astype(str)
    several = vertices["dataset"].nunique() > 1
    return numbers.assign(
        mean=numbers["mean"].fillna(numbers["r"]),
        region=numbers["dataset"] + " " + numbers["hemisphere"] + " " + numbers["roi"],
        model=[model_label(table.trials[key]) for key in numbers["trial_id"]],
        target=[
            f"{dataset}-{subject}" if several else subject
            for dataset, subject in zip(numbers["dataset"], numbers["subject"], strict=True)
        ],
    )


def model_label(work_item: WorkItem) -> str:
    """Name the subject of the fine-tuning, ``subj01``, or the numbers of a pool, ``1+2+3``."""
    rois = work_item.model.rois if isinstance(work_item, Evaluation) else work_item.rois
    subjects = list(dict.fromkeys(roi.subject for roi in rois))
    if len(subjects) == 1:
        return subjects[0]
    return "+".join(str(subject_number(subject) or subject) for subject in subjects)


def _order(label: str) -> tuple[int, str]:
    return (label.count("+"), label)
