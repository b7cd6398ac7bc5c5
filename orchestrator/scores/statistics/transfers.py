"""How well a backbone fine-tuned on one subject predicts another: one number per pair.

As in every table, a number is computed within each ROI, then averaged over the target's ROIs.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from orchestrator.cli.selection import subject_number
from orchestrator.scores.filters import evaluations_of
from orchestrator.scores.references import join_untuned
from orchestrator.scores.rows import Row, method_order, rois_of, rows_by
from orchestrator.scores.score_table import ScoreTable
from trainables.spec import Trial
from trainables.spec.evaluation import Evaluation, WorkItem
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


def transfers(table: ScoreTable) -> list[Transfers]:
    """Tabulate every evaluated method on every ROI group.

    table: one protocol. Models that differ only in their seed are averaged.
    """
    evaluated = table.keep("trial_id", evaluations_of(table))
    if evaluated.segments.empty:
        return []
    numbers = _roi_numbers(table)
    methods = method_order(evaluated.present("method"))
    return [one for method in methods for one in _of_method(table, numbers, method)]


def _of_method(table: ScoreTable, numbers: pd.DataFrame, method: str) -> Iterator[Transfers]:
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
    wanted = table.keep("roi_id", set(both["roi_id"])).segments
    for row in rows_by(rois_of(wanted), "group"):
        in_row = both[both["roi_id"].isin(row.rois)]
        yield Transfers(
            method=method,
            row=row,
            models=tuple(dict.fromkeys(sorted(in_row["model"], key=_order))),
            targets=tuple(dict.fromkeys(sorted(in_row["target"], key=_order))),
            entries={
                (str(model), str(target)): _entry(part)
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


def _entry(models: pd.DataFrame) -> Entry:
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
