"""What the intervals of a table cover, and where there are none, in words."""

from collections.abc import Sequence
from typing import Final

from orchestrator.cli.text import count
from orchestrator.scores.statistics.hierarchical_interval import FEWEST_SUBJECTS, Uncertainty
from orchestrator.scores.statistics.measured_differences import MeasuredDifferences

SHOWN: Final = 2


def describe_intervals(uncertainties: Sequence[Uncertainty | None]) -> str:
    """Describe which levels intervals cover, and which they do not; None: a row has none."""
    known = [one for one in uncertainties if one is not None]
    if not known:
        return "no interval: it needs the responses to the test images, and nested's predictions"
    subjects = {one.covers_subjects for one in known}
    seeds = {one.covers_seeds for one in known} - {None}
    levels = ["subjects"] if subjects == {True} else []
    levels += ["seeds of the fine-tuning"] if seeds == {True} else []
    few = f"fewer than {FEWEST_SUBJECTS}"
    exceptions = {
        (True, False): f"over subjects only in rows of {FEWEST_SUBJECTS} or more",
        (False,): f"not over other subjects, which {few} say little about",
    }
    lines = [exceptions.get(tuple(sorted(subjects, reverse=True)))]
    lines += ["over seeds only where each method has several"] if len(seeds) > 1 else []
    lines += ["not over other seeds, as a method has one only"] if seeds == {False} else []
    lines += ["none where predictions are missing"] if len(known) < len(uncertainties) else []
    over = " and ".join([", ".join(levels), "test images"] if levels else ["test images"])
    return "; ".join([f"interval: over {over}, vertices kept together", *filter(None, lines)])


def describe_missing(measured: MeasuredDifferences) -> list[str]:
    """Count the ROIs in which a comparison has no interval, with the first reasons, in a line."""
    reasons = [one for found in measured.missing.values() for one in found.items()]
    if not reasons:
        return []
    distinct = list(dict.fromkeys(why for _, why in reasons))
    more = "; …" if len(distinct) > SHOWN else ""
    n_rois = count(len({roi for roi, _ in reasons}), "ROI")
    return [f"no interval for {n_rois}: {'; '.join(distinct[:SHOWN])}{more}"]
