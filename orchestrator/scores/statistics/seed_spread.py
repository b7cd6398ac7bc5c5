"""How much the mean r of a row varies over the seeds of the fine-tuning."""

import numpy as np
import pandas as pd

from orchestrator.scores.rows import roi_weights


def seed_means(trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Average r over the vertices of each ROI for each seed: index ROI, a column per seed.

    trials: one protocol, one row per vertex and trial. Returns a table per method that is
    fine-tuned.
    """
    tuned = trials.dropna(subset=["seed", "r"]).astype(
        dict.fromkeys(("method", "roi_id", "seed"), str)
    )
    means = tuned.groupby(["method", "roi_id", "seed"])["r"].mean().unstack("seed")
    return {str(method): part.droplevel("method") for method, part in means.groupby("method")}


def spread_over_seeds(means: pd.DataFrame, rois: pd.DataFrame) -> float | None:
    """Return the standard deviation over seeds of the mean r of a row; None for one seed.

    means: as of :func:`seed_means`. rois: those of the row. An ROI counts with the seeds it has.
    """
    own = means.reindex(rois.index).dropna(axis="columns", how="all")
    if own.shape[1] < 2:
        return None
    deviations = own.sub(own.mean(axis="columns"), axis="index").fillna(0.0)
    of_seeds = roi_weights(rois).to_numpy() @ deviations.to_numpy()
    return float(np.sqrt(np.sum(of_seeds**2) / (own.shape[1] - 1)))
