"""Asynchronous successive halving that compares trials of one ROI only.

Retrieval depends on the ROI far more than on the settings: each ROI has its own scheduler.
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
    """A trial as its ROI's scheduler sees it."""

    trial_id: str
    roi_id: str
    epochs: int


class RoiAsha(FIFOScheduler):
    """One AsyncHyperBandScheduler an ROI, known to Tune as one scheduler.

    trials: by id, the trials that it will judge; Tune's trials name theirs in ``config["trial"]``.
    stop: is told the id of a trial as soon as it is to stop. A trial at its last epoch is recorded
    for the others, and never stopped: there is nothing left to save.
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
        """Pickle without its state: Tune saves it, and a search is rebuilt from outcomes."""
        return (FIFOScheduler, ())

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Refuse another metric: retrieval is what is judged."""
        return metric is None and mode is None

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Let the trial's ROI decide; Tune calls this with every report."""
        trial_id = str(trial.config["trial"])
        if self.decide(self._trials[trial_id], result):
            return str(TrialScheduler.CONTINUE)
        self._stop(trial_id)
        return str(TrialScheduler.STOP)

    def replay(self, trial: SchedulerTrial, history: tuple[EpochReport, ...]) -> bool:
        """Take in what a trial reported in an earlier run; False when it was to stop."""
        decisions = [self.decide(trial, _result(report)) for report in history]
        return all(decisions)

    def decide(self, trial: SchedulerTrial, result: Mapping[str, Any]) -> bool:
        """Record a report at its rung; False when the trial is to stop."""
        if result.get(METRIC) is None or result.get("epoch") is None:
            return True
        asha: Any = self._asha(trial.roi_id)  # it looks at a trial's id alone
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
