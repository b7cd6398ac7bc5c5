"""Pairs of scores of two methods, from arrays."""

import numpy as np
import pandas as pd

from orchestrator.scores.rows import ROI_COLUMNS
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
                "a": a[number],
                "b": b[number],
                "n_seeds": 1,
            }
        )
        for number, (subject, roi_name) in enumerate(places)
    ]
    return Pairs("contrastive", "untuned", pd.concat(frames), 0, 0, 0)
