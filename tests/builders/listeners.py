"""Who hears how a trial goes."""

from trainables.results.epoch_report import EpochReport
from trainables.spec.evaluation import WorkItem


class Quiet:
    """Hears everything, and lets it go on."""

    def stage(self, name: str) -> None:
        """Pass over it."""

    def epoch(self, report: EpochReport) -> bool:
        """Let the trial go on."""
        return True

    def upcoming(self, held: frozenset[str]) -> WorkItem | None:
        """Know of none."""
        return None
