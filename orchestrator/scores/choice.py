"""The choice of one setting of several, by training images that were held back."""

from collections.abc import Mapping
from statistics import fmean

from orchestrator.scores.score_table import ScoreTable
from trainables.results.outcome import Outcome
from trainables.results.run_directory import RunDirectory
from trainables.spec import Trial
from trainables.spec.labels import method_of


def validation_retrieval(table: ScoreTable, runs: RunDirectory) -> dict[str, float]:
    """Average the top-1 retrieval of held-back images over the models of each label.

    It is that after the last epoch, averaged over seeds, then over the ROIs that all settings of a
    method have; no test image enters. Labels of methods that held nothing back are left out.
    """
    columns = ["method", "roi_id", "trial_id"]
    found: dict[str, dict[str, list[float]]] = {}
    for label, roi, trial_id in table.segments[columns].drop_duplicates().to_numpy().tolist():
        top1 = _last_retrieval(table, runs, str(trial_id))
        if top1 is not None:
            found.setdefault(str(label), {}).setdefault(str(roi), []).append(top1)
    return {
        label: fmean(fmean(by_roi[roi]) for roi in shared)
        for label, by_roi in found.items()
        if (shared := _shared_rois(found, label))
    }


def _last_retrieval(table: ScoreTable, runs: RunDirectory, trial_id: str) -> float | None:
    if not isinstance(table.trials[trial_id], Trial):
        return None
    outcome = Outcome.read(runs, trial_id)
    return outcome.history[-1].retrieval_top1 if outcome and outcome.history else None


def _shared_rois(found: Mapping[str, Mapping[str, list[float]]], label: str) -> list[str]:
    """List the ROIs that all labels of a label's method have."""
    alike = [rois for one, rois in found.items() if method_of(one) == method_of(label)]
    return sorted(set.intersection(*(set(rois) for rois in alike)))
