"""Two methods over subjects: whether they differ by more than chance over subjects.

Each subject counts once, with the mean over its ROIs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from orchestrator.scores.rows import By, Row, family_of, rois_of, rows_by
from orchestrator.scores.statistics.false_discovery import adjust_families
from orchestrator.scores.statistics.vertex_pairs import Pairs

FEWEST_FOR_INTERVAL: Final = 3
"""Two subjects give a bootstrap three different means: no interval can be drawn from them."""
FEWEST_FOR_TEST: Final = 2
FLIPS: Final = 2**12
"""All sign flips are enumerated up to this number (12 subjects); beyond it, so many are drawn."""

Values = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class SubjectBootstrap:
    """How subjects are resampled, and signs where there are too many to enumerate."""

    n_draws: int = 10_000
    level: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class SubjectTest:
    """Two methods on a row of the table; None where there are too few subjects."""

    row: Row
    a: str
    b: str
    n_subjects: int
    difference: float
    """Mean over subjects of mean r of a minus mean r of b."""
    share_improved: float
    """Mean over subjects of the share of vertices in which a has the higher r."""
    share_interval: tuple[float, float] | None
    """Bootstrap of subjects."""
    t_p: float | None
    """Paired t over subjects, two-sided; None also where all differences are equal."""
    flip_p: float | None
    """Sign-flip test over subjects, two-sided."""
    t_q: float | None = None
    """t_p corrected over the rows that are not totals; None in a total."""
    flip_q: float | None = None


def compare_over_subjects(
    pairs: Pairs, by: By, bootstrap: SubjectBootstrap | None = None
) -> list[SubjectTest]:
    """Test two methods over subjects on every row that has pairs, and correct over the rows.

    Totals repeat the other rows: they are tested, but not part of the correction; rows of streams,
    of atlases and of whole hemispheres are each corrected apart. bootstrap: for the interval of
    the share of vertices; None: there is none.
    """
    if pairs.frame.empty:
        return []
    rois = roi_numbers(pairs.frame)
    tests = [_test(row, pairs, rois.loc[list(row.rois)], bootstrap) for row in rows_by(rois, by)]
    q = corrected(tests, rois)
    return [replace(one, t_q=t, flip_q=flip) for one, (t, flip) in zip(tests, q, strict=True)]


class Tested(Protocol):
    """A row with its two p-values."""

    @property
    def row(self) -> Row:
        """The row of the table."""

    @property
    def t_p(self) -> float | None:
        """Of the t test."""

    @property
    def flip_p(self) -> float | None:
        """Of the sign-flip test."""


def corrected(
    tests: Sequence[Tested], rois: pd.DataFrame
) -> list[tuple[float | None, float | None]]:
    """Correct both p-values of each row over the rows that are not totals; None in a total.

    The rows of streams, of atlases and of whole hemispheres are families of their own; see
    `family_of`. rois: index ROI, with their group.
    """
    found: list[tuple[float | None, float | None]] = [(None, None)] * len(tests)
    parts = [number for number, one in enumerate(tests) if not one.row.is_total]
    families = [family_of(rois.loc[list(tests[k].row.rois), "group"]) for k in parts]
    t_q = adjust_families([tests[k].t_p for k in parts], families)
    flip_q = adjust_families([tests[k].flip_p for k in parts], families)
    for number, of_t, of_flip in zip(parts, t_q, flip_q, strict=True):
        found[number] = (of_t, of_flip)
    return found


def roi_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Average a, b and better over the vertices of each ROI; index ROI, columns ROI_COLUMNS too."""
    better = frame["a"] > frame["b"]
    grouped = frame.assign(better=better).groupby("roi_id", observed=True)
    numbers = grouped[["a", "b", "better"]].mean()
    numbers.index = numbers.index.astype(str)
    return rois_of(frame).join(numbers)


def _test(
    row: Row, pairs: Pairs, rois: pd.DataFrame, bootstrap: SubjectBootstrap | None
) -> SubjectTest:
    subjects = rois.groupby(["dataset", "subject"])[["a", "b", "better"]].mean()
    differences = (subjects["a"] - subjects["b"]).to_numpy()
    better = subjects["better"].to_numpy()
    return SubjectTest(
        row=row,
        a=pairs.a,
        b=pairs.b,
        n_subjects=len(subjects),
        difference=float(differences.mean()),
        share_improved=float(better.mean()),
        share_interval=None if bootstrap is None else subject_interval(better, bootstrap),
        t_p=paired_t(differences),
        flip_p=sign_flip(differences, bootstrap.seed if bootstrap else 0),
    )


def subject_interval(
    values: Sequence[float] | Values, bootstrap: SubjectBootstrap
) -> tuple[float, float] | None:
    """Resample subjects with replacement and take the percentiles of their mean.

    values: (n_subjects,). None for fewer than FEWEST_FOR_INTERVAL.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < FEWEST_FOR_INTERVAL:
        return None
    generator = np.random.default_rng(bootstrap.seed)
    drawn = generator.integers(len(values), size=(bootstrap.n_draws, len(values)))
    tail = (1 - bootstrap.level) / 2
    low, high = np.quantile(values[drawn].mean(axis=1), [tail, 1 - tail])
    return float(low), float(high)


def paired_t(differences: Values) -> float | None:
    """Test by a paired t, two-sided, whether the mean difference is 0. differences: (n_subjects,).

    None for fewer than two subjects, or where all differences are equal: no variance.
    """
    import scipy.stats  # 1 s, which most commands don't need

    if len(differences) < FEWEST_FOR_TEST or np.ptp(differences) == 0:
        return None
    return float(scipy.stats.ttest_1samp(differences, 0.0).pvalue)


def sign_flip(differences: Values, seed: int = 0) -> float | None:
    """Test by flipping signs, two-sided, whether differences are symmetric about 0.

    differences: (n_subjects,). p is the share of all 2ⁿ flips whose mean is at least as far from
    0, so at least 2 / 2ⁿ; of more than FLIPS, that many are drawn and 1 is added to both counts.
    None for fewer than two subjects.
    """
    import scipy.stats

    if len(differences) < FEWEST_FOR_TEST:
        return None
    result = scipy.stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=FLIPS,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue)
