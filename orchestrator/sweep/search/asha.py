"""Asynchronous successive halving that only compares trials of the same ROI.

Retrieval depends far more on the ROI than on the settings, so each ROI has a separate scheduler.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from trainables.results.epoch_report import EpochReport
from trainables.spec.search import Search

METRIC: Final = "retrieval_top1"


@dataclass(frozen=True)
class SchedulerTrial:
    """A trial as described to its ROI's scheduler."""

    trial_id: str
    roi_id: str
    epochs: int


class RoiAsha(FIFOScheduler):
    """One AsyncHyperBandScheduler per ROI, which Tune uses as a single scheduler.

    trials: its trials by id; a trial of Tune has this id in ``config["trial"]``. stop: called with
    the id of a trial as soon as it should stop. A trial at its last epoch is recorded for
    comparison with others, but never stopped, because nothing would be saved.
    """

    def __init__(
        self,
        search: Search,
        trials: Mapping[str, SchedulerTrial],
        stop: Callable[[str], None] = lambda trial_id: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._search = search
        self._trials = dict(trials)
        self._stop = stop
        self._rois: dict[str, AsyncHyperBandScheduler] = {}

    def __reduce__(self) -> Any:
        """Pickle without state: Tune saves its scheduler, but a search is rebuilt from outcomes."""
        return (FIFOScheduler, ())

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Reject other metrics: the scheduler compares retrieval."""
        return metric is None and mode is None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Return the decision of the ROI's scheduler; Tune calls this with every report."""
        trial_id = str(trial.config["trial"])
        if self.decide(self._trials[trial_id], result):
            return str(TrialScheduler.CONTINUE)
        self._stop(trial_id)
        return str(TrialScheduler.STOP)

    def replay(self, trial: SchedulerTrial, history: tuple[EpochReport, ...]) -> bool:
        """Record a trial's reports from an earlier run; return False if it should stop."""
        decisions = [self.decide(trial, _result(report)) for report in history]
        return all(decisions)

    def decide(self, trial: SchedulerTrial, result: Mapping[str, Any]) -> bool:
        """Record a report at its rung; return False if the trial should stop."""
        if result.get(METRIC) is None or result.get("epoch") is None:
            return True
        asha: Any = self._asha(trial.roi_id)  # it only uses a trial's id
        asha.on_trial_add(None, trial)
        action = asha.on_trial_result(None, trial, dict(result))
        return bool(action == TrialScheduler.CONTINUE) or result["epoch"] >= trial.epochs

    def _asha(self, roi: str) -> AsyncHyperBandScheduler:
        if roi not in self._rois:
            self._rois[roi] = AsyncHyperBandScheduler(
                time_attr="epoch",
                metric=METRIC,
                mode="max",
                max_t=self._search.ranges.most_epochs,
                grace_period=self._search.grace_period,
                reduction_factor=self._search.reduction_factor,
                stop_last_trials=False,
            )
        return self._rois[roi]


def _result(report: EpochReport) -> dict[str, Any]:
    return {"epoch": report.epoch, METRIC: report.retrieval_top1}
