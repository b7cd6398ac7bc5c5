"""How much better each method predicts than the untuned backbone, by ROI, subject and group.

Paper: mean r, and the share of vertices better than another method.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.analyze.analysis import Analysis, Inputs
from orchestrator.scores.filters import one_model_per_roi
from orchestrator.scores.references import UNTUNED, with_references
from orchestrator.scores.rows import By
from orchestrator.scores.statistics.hemispheres import contrast_hemispheres
from orchestrator.scores.statistics.measured_differences import measure_differences
from orchestrator.scores.statistics.subject_tests import compare_over_subjects
from orchestrator.scores.statistics.summaries import Comparison, compare_rois
from orchestrator.scores.statistics.vertex_pairs import PairedRois, Pairs, measure_rois, pair
from trainables.spec.labels import method_of
from trainables.spec.rois import BOTH, HEMISPHERES

Place = tuple[str, str, str]
"""Level, hemisphere and label of a row."""
Integers = np.ndarray[Any, np.dtype[np.integer[Any]]]
LEVELS: Final[tuple[By, ...]] = ("group", "roi", "subject", "subject-roi")
TESTS: Final = ("t_p", "t_q", "flip_p", "flip_q")
CONTRASTS: Final = tuple(f"contrast_{name}" for name in TESTS)
SCHEMA = pa.schema(
    [
        pa.field("protocol", pa.string(), nullable=False),
        pa.field("level", pa.string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("reference", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("dataset", pa.string()),
        pa.field("subject", pa.string()),
        pa.field("hemisphere", pa.string(), nullable=False),
        pa.field("roi", pa.string()),
        pa.field("group", pa.string()),
        pa.field("r", pa.float64(), nullable=False),
        pa.field("r_reference", pa.float64(), nullable=False),
        pa.field("difference", pa.float64(), nullable=False),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("covers_subjects", pa.bool_()),
        pa.field("covers_seeds", pa.bool_()),
        pa.field("share_better", pa.float64(), nullable=False),
        pa.field("n_vertices", pa.int32(), nullable=False),
        pa.field("n_distinct_vertices", pa.int32(), nullable=False),
        pa.field("n_rois", pa.int32(), nullable=False),
        pa.field("n_subjects", pa.int32(), nullable=False),
        *(pa.field(name, pa.float64()) for name in (*TESTS, "lh_minus_rh", *CONTRASTS)),
    ]
)
"""level: group, roi, subject or subject-roi. method, reference: labels of methods and settings.
reference: untuned, or regression for the contrastive methods, of the same backbone and encoding.
hemisphere: both, lh or rh; at level subject-roi its own. low, high: 95 % interval of the difference
over test images; null where predictions are missing, or under other protocols than nested.
covers_subjects, covers_seeds: whether it holds for other subjects and seeds too; covers_seeds is
null where nothing is fine-tuned. Numbers are computed within each ROI, averaged over the
ROIs of a subject, then over subjects. n_vertices: summed over ROIs; n_distinct_vertices: a vertex
in several ROIs counted once. t_p, flip_p: paired t test and sign-flip test of the difference over
subjects; t_q, flip_q: corrected over the ROIs of both hemispheres, one family, or over the groups.
They are of the rows of an ROI in lh or rh (in both, where no subject divides hemispheres), and of
a group in both. lh_minus_rh: the difference in
lh minus that in rh, over the ROIs that a subject has in both; contrast_…: its tests over subjects,
corrected over the ROIs; of rows of an ROI or a group in both. A column that does not apply is
null."""


def make(inputs: Inputs) -> pa.Table:
    """Compare every method with the untuned backbone, and with regression, on the same vertices."""
    parts = [
        {"protocol": protocol, **row}
        for protocol in inputs.protocols
        for row in _of_protocol(inputs, protocol)
    ]
    return pa.Table.from_pandas(pd.DataFrame(parts, columns=SCHEMA.names), SCHEMA)


def _of_protocol(inputs: Inputs, protocol: str) -> Iterator[dict[str, Any]]:
    """Compare the methods and settings under a protocol."""
    kept, _ = one_model_per_roi(inputs.of_protocol(protocol))
    against_untuned, _ = with_references(kept, UNTUNED)
    against_regression, _ = with_references(kept, "regression")
    labels = [
        one for one in (*against_untuned, *against_regression) if method_of(one[0]) != UNTUNED
    ]
    measured = measure_differences(kept, labels, inputs.runs, inputs.data)
    pairs = [pair(kept.over_seeds, a, b) for a, b in labels]
    for one, of_pair in zip(pairs, measure_rois(pairs, measured), strict=True):
        tests, contrasts = _tests_of(one), _contrasts_of(one)
        for row in _rows(of_pair, _places_by_roi(one)):
            place = (row["level"], row["hemisphere"], row["row"])
            yield {**row, **tests.get(place, {}), **contrasts.get(place, {})}


def _tests_of(pairs: Pairs) -> dict[Place, dict[str, float | None]]:
    """Test a difference over subjects in each ROI and hemisphere, and in each group."""
    by_roi = compare_over_subjects(pairs, "roi-hemisphere")
    places = [("roi", *reversed(one.row.label.rsplit(" ", 1))) for one in by_roi]
    by_group = compare_over_subjects(pairs, "group")
    divided = not set(pairs.frame["hemisphere"].unique()) <= {BOTH}
    found = [
        *(
            (place, one)
            for place, one in zip(places, by_roi, strict=True)
            if not (one.row.is_total or (divided and place[1] == BOTH))
        ),
        *((("group", "both", one.row.label), one) for one in by_group),
    ]
    return {
        (level, side, label): {name: getattr(one, name) for name in TESTS}
        for (level, side, label), one in found
    }


def _contrasts_of(pairs: Pairs) -> dict[Place, dict[str, float | None]]:
    """Contrast the hemispheres in each ROI and group."""
    found = {}
    for one in contrast_hemispheres(pairs):
        level, label = ("group", one.row.label) if one.row.is_total else ("roi", one.row.label)
        tests = {f"contrast_{name}": getattr(one, name) for name in TESTS}
        found[level, "both", label.removeprefix("all ")] = {"lh_minus_rh": one.contrast, **tests}
    return found


def _places_by_roi(pairs: Pairs) -> dict[str, Integers]:
    """Give each paired vertex a number, the same in every ROI that it lies in; list by ROI."""
    frame = pairs.frame
    columns = ["dataset", "subject", "hemisphere", "vertex"]
    numbers = frame.groupby(columns, observed=True).ngroup()
    by_roi = numbers.groupby(frame["roi_id"], observed=True)
    return {str(roi): part.to_numpy() for roi, part in by_roi}


def _count_distinct(places: Mapping[str, Integers], rois: Sequence[str]) -> int:
    """Count the vertices of ROIs, each once."""
    is_there = np.zeros(1 + max(places[roi].max() for roi in rois), bool)
    for roi in rois:
        is_there[places[roi]] = True
    return int(is_there.sum())


def _rows(measured: PairedRois, places: Mapping[str, Integers]) -> Iterator[dict[str, Any]]:
    """Compare two methods at every level, on both hemispheres together and separately."""
    names = ["dataset", "subject", "roi", "group"]
    known = dict(zip(measured.rois.index, measured.rois[names].to_numpy().tolist(), strict=True))
    for hemisphere in (BOTH, *HEMISPHERES):
        of_side = measured.of_hemisphere(hemisphere)
        for level in LEVELS:
            # An ROI of a subject has one row, with its own hemisphere.
            alone = level == "subject-roi"
            for found in compare_rois(measured.in_side(hemisphere) if alone else of_side, level):
                if found.row.is_total and level != "group":
                    continue  # the groups' rows are these totals
                place = _place([known[roi] for roi in found.row.rois], level)
                numbers = {
                    **_numbers(found),
                    "n_distinct_vertices": _count_distinct(places, found.row.rois),
                }
                yield {"level": level, "hemisphere": hemisphere, **place, **numbers}


def _place(rois: Sequence[Sequence[str]], level: By) -> dict[str, str | None]:
    """Return the columns that all ROIs of a row have in common.

    rois: dataset, subject, name and group of each.
    """
    values = map(set, zip(*rois, strict=True))
    common = {
        name: str(*one) if len(one) == 1 else None
        for name, one in zip(("dataset", "subject", "roi", "group"), values, strict=True)
    }
    kept = {
        "group": ("dataset", "group"),
        "roi": ("dataset", "roi", "group"),
        "subject": ("dataset", "subject"),
        "subject-roi": ("dataset", "subject", "roi", "group"),
    }[level]
    return {name: value if name in kept else None for name, value in common.items()}


def _numbers(found: Comparison) -> dict[str, Any]:
    (low, high), known = found.interval or (None, None), found.uncertainty
    return {
        "method": found.a,
        "reference": found.b,
        "row": found.row.label,
        "r": found.mean_a,
        "r_reference": found.mean_b,
        "difference": found.difference,
        "low": low,
        "high": high,
        "covers_subjects": known and known.covers_subjects,
        "covers_seeds": known and known.covers_seeds,
        "share_better": found.share_improved,
        "n_vertices": found.n_pairs,
        "n_rois": len(found.row.rois),
        "n_subjects": len(found.subjects),
    }


ANALYSIS = Analysis(
    name="improvement",
    question="How much better does each method predict than the untuned backbone?",
    schema=SCHEMA,
    make=make,
    sources=Inputs.score_and_prediction_files,
    version=5,
)
