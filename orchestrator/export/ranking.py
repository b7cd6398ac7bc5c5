"""By which scores the models of an ROI are compared: of validation, or r of the test images.

A score of validation is the r by which a protocol chooses layers, over folds of training images. It
is fair where no backbone was tuned on these images: under ``clean``, and under ``nested`` among
untuned backbones. Elsewhere r of the test images is taken, which the choice makes optimistic.
"""

from collections.abc import Collection, Mapping
from typing import Final

import numpy as np
import pandas as pd

from orchestrator.encoding_models.config import ChosenBy
from orchestrator.scores.score_table import ScoreTable, as_matrix
from trainables.spec import CLEAN, Pooled, Protocol, Trial, Untuned
from trainables.spec.evaluation import WorkItem

FAIR: Final[tuple[Protocol, ...]] = (CLEAN, "nested")
"""Protocols with scores of validation, the preferred one first."""
BY_TEST: Final[ChosenBy] = "test"
BY_VALIDATION: Final[ChosenBy] = "validation"

Key = tuple[str, str]
"""A trial's id and an ROI's."""


def compared(candidates: pd.DataFrame, table: ScoreTable) -> pd.DataFrame:
    """Add the score that each candidate is compared by with the others of its ROI.

    candidates: rows with trial_id, roi_id and r, the mean on the test images. table: their scores
    under all protocols. Returns the rows with the columns n (candidates of the ROI), score and
    chosen_by; the candidates of an ROI are compared by the same score.
    """
    rows = candidates.assign(n=candidates.groupby("roi_id")["r"].transform("size"))
    rows = rows.assign(score=rows["r"], chosen_by=BY_TEST)
    keys: list[Key] = list(rows[["trial_id", "roi_id"]].itertuples(index=False, name=None))
    several = {key for key, n in zip(keys, rows["n"], strict=True) if n > 1}
    for protocol in FAIR:
        found = _validation(several, table, protocol)
        scores = pd.Series([found.get(key, np.nan) for key in keys], rows.index)
        taken = scores.notna().groupby(rows["roi_id"]).transform("all")
        rows.loc[taken, "score"], rows.loc[taken, "chosen_by"] = scores[taken], BY_VALIDATION
        several = {key for key, done in zip(keys, taken, strict=True) if not done} & several
    return rows


def _validation(
    candidates: Collection[Key], table: ScoreTable, protocol: Protocol
) -> Mapping[Key, float]:
    """Average the fair scores of validation of candidates over the vertices of their ROIs."""
    keys = table.segments[["trial_id", "roi_id"]].astype(str).itertuples(index=False, name=None)
    wanted = pd.Series([key in candidates for key in keys], table.segments.index)
    fair = [trial_id for trial_id, one in table.trials.items() if _is_fair(one, protocol)]
    kept = table.where(wanted).keep("protocol", [protocol]).keep("trial_id", fair)
    found: dict[Key, float] = {}
    columns = kept.segments[["trial_id", "roi_id", "layer"]].astype(str)
    rows = columns.itertuples(index=False, name=None)
    for (trial_id, roi_id, layer), scores in zip(rows, kept.read(["choice_by_layer"]), strict=True):
        encoding = table.trials[trial_id].encoding
        assert encoding is not None  # it has scores
        r = as_matrix(scores["choice_by_layer"])[:, encoding.layers.index(layer)]
        found[trial_id, roi_id] = np.nan if np.isnan(r).all() else float(np.nanmean(r))
    return found


def _is_fair(work_item: WorkItem, protocol: Protocol) -> bool:
    """Return whether a backbone was tuned on none of the images that a protocol chooses by.

    A pooled one, and an evaluated one of another subject, may know other subjects' responses to
    images that are held back here.
    """
    if not isinstance(work_item, Trial) or isinstance(work_item.objective, Pooled):
        return False
    return protocol == CLEAN or isinstance(work_item.objective, Untuned)
