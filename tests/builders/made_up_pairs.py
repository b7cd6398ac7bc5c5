"""Pairs of scores of two methods, and what images add to their differences, from arrays."""

import numpy as np
import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS
from orchestrator.scores.statistics.measured_differences import MeasuredDifferences
from orchestrator.scores.statistics.roi_differences import Images, TrialScore, subtract
from orchestrator.scores.statistics.vertex_pairs import Pairs
from trainables.spec.rois import roi_group_of


def made_up(*places: tuple[str, str], a: np.ndarray, b: np.ndarray) -> Pairs:
    """Pair a (n_rois, n_vertices) with b, on ROIs of (subject, roi)."""
    frames = [
        pd.DataFrame(
            {
                "roi_id": f"nsd-{subject}-lh-{roi_name}",
                **dict(
                    zip(
                        ROI_COLUMNS,
                        ("nsd", subject, "lh", roi_name, roi_group_of(roi_name)),
                        strict=True,
                    )
                ),
                "vertex": np.arange(len(a[number])),
                "a": a[number],
                "b": b[number],
                "n_seeds": 1,
            }
        )
        for number, (subject, roi_name) in enumerate(places)
    ]
    return Pairs("contrastive", "untuned", pd.concat(frames), 0, 0, 0)


def measured_with(pairs: Pairs, effects: np.ndarray, leave_out: str = "") -> MeasuredDifferences:
    """Measure these pairs: method a has effects (n_rois, n_images) of images, b has none.

    Each subject has images of its own. leave_out: an ROI without predictions.
    """
    found, missing = {}, {}
    subjects = sorted(pairs.frame["subject"].unique())
    for number, (roi, part) in enumerate(pairs.frame.groupby("roi_id", sort=False)):
        if roi == leave_out:
            missing[str(roi)] = "no predictions were kept"
            continue
        subject, n = part["subject"].iloc[0], effects.shape[1]
        images = np.arange(n) + n * subjects.index(subject)
        a, b = (
            TrialScore(seed, float(part[side].mean()), Images(images, effect))
            for side, seed, effect in (("a", "0", effects[number]), ("b", None, np.zeros(n)))
        )
        found[str(roi)] = subtract(("nsd", subject), [a], [b])
    key = (pairs.a, pairs.b)
    return MeasuredDifferences({key: found}, {key: missing})
