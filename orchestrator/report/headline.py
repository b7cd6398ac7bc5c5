"""The headline of a report: each method by ROI group, with its difference from untuned."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.analyze.analysis import Inputs
from orchestrator.analyze.questions.improvement import ANALYSIS as IMPROVEMENT
from orchestrator.analyze.run import is_current
from orchestrator.cli.text import NONE, as_difference, as_mean, as_percent
from orchestrator.report.intervals import describe_rows
from orchestrator.scores.alpha_notes import alpha_notes
from orchestrator.scores.display.score_tables import OPTIMISTIC
from orchestrator.scores.filters import one_model_per_roi
from orchestrator.scores.overlap_notes import overlap_notes
from orchestrator.scores.statistics.summaries import Summary, summarise
from trainables.spec.labels import method_of

COLUMNS = (
    "protocol",
    "group",
    "method",
    "mean r",
    "difference",
    "95 % interval",
    "vertices better",
    "vertices",
    "ROIs",
    "subjects",
)
CAPTION = (
    "Mean Pearson r over the vertices of an ROI, the ROIs of a subject, then subjects. "
    "±: standard deviation over seeds. Differences are from untuned, of the same vertices. "
)
LOWER = "†"
"""Marks an r that is lower than nested's of the same method and group, and the note on it."""
SUMMED = "Vertices are summed over ROIs: one that lies in several ROIs counts in each."


@dataclass(frozen=True)
class Headline:
    """A small table as text, with its caption and notes."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str
    notes: tuple[str, ...]


def headline(inputs: Inputs) -> Headline:
    """Summarise every method on every ROI group under each protocol.

    Where r of the optimistic protocol paper is lower than nested's, it is marked, and a note says
    why.
    """
    rows: list[tuple[str, ...]] = []
    notes = [SUMMED, *inputs.data_notes]
    against = _differences(inputs)
    of_nested: dict[tuple[str, str], float] = {}
    for protocol in inputs.protocols:
        kept, model_notes = one_model_per_roi(inputs.of_protocol(protocol))
        found = summarise(kept.over_seeds, "group", kept.vertices)
        means = {_key(one): one.mean for one in found if one.mean is not None}
        if protocol == "nested":
            of_nested = means
        is_paper = protocol == "paper"
        lower = {key for key in means if is_paper and means[key] < of_nested.get(key, -math.inf)}
        for one in found:
            difference = against.get((protocol, *_key(one)))
            rows.append(_row(protocol, one, difference, is_lower=_key(one) in lower))
        notes += _rois_that_differ(rows, protocol, against)
        notes += [f"{one.partition(';')[0]}, so not a row here" for one in model_notes]
        notes += overlap_notes(kept)
        if protocol in OPTIMISTIC:
            notes.append((f"{LOWER} " if lower else "") + OPTIMISTIC[protocol])
        notes += alpha_notes(kept)
    caption = f"{CAPTION}{describe_rows(against.values())}"
    return Headline(COLUMNS, tuple(rows), caption, tuple(dict.fromkeys(filter(None, notes))))


def _key(one: Summary) -> tuple[str, str]:
    return one.method, one.row.label


def _row(
    protocol: str, one: Summary, difference: Mapping[str, Any] | None, *, is_lower: bool
) -> tuple[str, ...]:
    """Write a row of the table. is_lower: mark its r as lower than nested's."""
    return (
        protocol,
        one.row.label,
        one.method,
        as_mean(one.mean, one.seed_sd) + (f" {LOWER}" if is_lower else ""),
        as_difference(difference["difference"]) if difference else NONE,
        _interval(difference),
        as_percent(difference["share_better"]) if difference else NONE,
        f"{one.n_vertices:,}",
        str(one.n_rois),
        str(one.n_subjects),
    )


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None or found["low"] is None:
        return NONE
    return f"{as_difference(found['low'])} to {as_difference(found['high'])}"


def _rois_that_differ(
    rows: Sequence[tuple[str, ...]],
    protocol: str,
    against: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> Iterator[str]:
    """Note where methods of a group have other ROIs, so that rows must not be subtracted."""
    place = {name: COLUMNS.index(name) for name in ("protocol", "group", "method", "ROIs")}
    n_rois: dict[str, dict[str, int]] = {}
    for row in rows:
        if row[place["protocol"]] == protocol:
            of_group = n_rois.setdefault(row[place["group"]], {})
            of_group[row[place["method"]]] = int(row[place["ROIs"]])
    for group, counts in n_rois.items():
        if len(set(counts.values())) > 1:
            yield (
                f"{group}, protocol {protocol}: methods have different ROIs, so that their mean r "
                "can't be compared by row; the difference is over the ROIs that a method and "
                "untuned both have"
            )
        for method, n in counts.items():
            found = against.get((protocol, method, group))
            if found and found["n_rois"] != n:
                yield (
                    f"{method}, {group}, protocol {protocol}: the difference is over "
                    f"{found['n_rois']} of its {n} ROIs, those that untuned has too"
                )


def _differences(inputs: Inputs) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Read the groups' differences from untuned, or compute them: by protocol, method and row."""
    is_made = is_current(IMPROVEMENT, inputs)
    table = inputs.result(IMPROVEMENT.name) if is_made else IMPROVEMENT.make(inputs)
    return {
        (row["protocol"], row["method"], row["row"]): row
        for row in table.to_pylist()
        if (row["level"], row["hemisphere"]) == ("group", "both")
        and method_of(row["reference"]) == "untuned"
    }
